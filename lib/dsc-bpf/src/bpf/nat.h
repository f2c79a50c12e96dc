/* The load balancer's decisions: a packet for a service, a packet from a backend (B.3). Which node may decide is the
   lease's and the host table's matter, as for every other frame for a VIP. */
#ifndef DSC_NAT_H
#define DSC_NAT_H

#include "clock.h"
#include "count.h"
#include "fragment.h"
#include "martian.h"
#include "quote.h"
#include "service.h"
#include "source.h"
#include "steer.h"
#include "symmetric.h"

/* Does the backend's end have another flow from the same end of the client, which has not ended? A rest of an ended
   one is taken away. */
static __noinline int clashes(struct desk *desk)
{
	struct flow *old;

	if (!desk)
		return 1;
	other_key(&desk->key, &desk->fresh, &desk->back);
	old = bpf_map_lookup_elem(&flows, &desk->back);
	if (!old || old->way != WAY_REPLY || (same16(old->address, desk->key.dest) && old->port == desk->key.dest_port))
		return 0;
	if (!ended(&desk->back, old, &desk->stale))
		return 1;
	bpf_map_delete_elem(&flows, &desk->stale);
	return 0;
}

/* Chooses a backend. All nodes choose alike, but for clashes. */
static __always_inline enum verdict choose(struct desk *desk, __u32 service, enum verdict chosen)
{
	__u32 hash = hash_of(&desk->key);
	__u32 tried = MAGLEV_EMPTY;

	/* Neighbouring slots are often the same backend's. */
	for (int i = 0; i < CLASHES_MAX; i++) {
		__u32 index = slot_of(service, hash + i);
		const struct backend *backend;

		if (index == MAGLEV_EMPTY)
			return V_nat_refused;
		if (index == tried)
			continue;
		tried = index;
		backend = backend_at(index);
		if (!backend || backend->state == BACKEND_DISABLED)
			return V_nat_refused;
		__builtin_memcpy(desk->fresh.address, backend->address, 16);
		desk->fresh.port = backend->port;
		desk->fresh.backend = index;
		desk->fresh.subnet = backend->subnet;
		if (!clashes(desk))
			return chosen;
	}
	return V_nat_clash;
}

/* Makes both entries. The reply's comes first: a request that finds its own has both. */
static __always_inline enum verdict make(const struct frame *f, struct desk *desk, enum verdict made)
{
	struct flow *fresh = &desk->fresh;
	struct flow *reply = &desk->reply;

	__builtin_memcpy(reply->address, desk->key.dest, 16);
	reply->port = desk->key.dest_port;
	reply->backend = fresh->backend;
	reply->way = WAY_REPLY;
	reply->subnet = f->vip.subnet;
	reply->vip = f->vip.index;
	reply->marks = 0;
	reply->seen = fresh->seen;
	if (bpf_map_update_elem(&flows, &desk->back, reply, BPF_ANY))
		return V_nat_full;
	if (bpf_map_update_elem(&flows, &desk->key, fresh, BPF_ANY)) {
		bpf_map_delete_elem(&flows, &desk->back);
		return V_nat_full;
	}
	tell_new(&desk->key, fresh);
	return made;
}

/* `no` or, if `is` is 1, `yes`: without a branch, both sides of which the verifier would follow to the end. */
static __always_inline enum verdict one_of(__u32 is, enum verdict no, enum verdict yes)
{
	KEEP(is);
	return no + is * (yes - no);
}

static __always_inline void follow_frame(const struct frame *f, const struct flow_key *key, struct flow *flow, __u64 now)
{
	if (f->fragment == FRAGMENT_LATER)
		touch(flow, now);
	else
		follow(f->tcp, f->flags, key, flow, now);
}

/* A packet for a nat service at the node that serves its VIP. */
static __noinline enum verdict request(struct __sk_buff *skb, struct frame *f)
{
	__u64 now = about_now();
	__u32 zero = 0;
	struct desk *desk = bpf_map_lookup_elem(&desks, &zero);
	struct flow *flow;
	enum verdict verdict, done;
	int refused;

	if (!desk || !f)
		return V_dropped_failed;
	if (f->fragment && !f->ports)
		return V_nat_fragment_lost;
	key_of(f, &desk->key);
	flow = skb->cb[CB_NO_FLOW] ? 0 : bpf_map_lookup_elem(&flows, &desk->key);
	refused = flow && flow->way == WAY_REQUEST && is_disabled(flow);
	if (refused)
		reset(&desk->key, flow);
	/* Any datagram begins anew. */
	if (flow && (f->syn || (refused && !f->tcp)) && !f->source && flow->way == WAY_REQUEST &&
	    ended(&desk->key, flow, &desk->back)) {
		bpf_map_delete_elem(&flows, &desk->back);
		flow = 0;
	}
	if (flow && flow->way == WAY_REQUEST) {
		if (refused)
			return V_nat_refused;
		done = one_of(f->source, V_nat_request, V_source_in);
		verdict = route(skb, f, &desk->key, flow, done);
		if (verdict == done) {
			follow_frame(f, &desk->key, flow, now);
			count_backend(skb->len, flow, 0);
		}
		return verdict;
	}
	if (f->fragment == FRAGMENT_LATER)
		return V_nat_fragment_lost;
	/* Its flow was taken out a moment ago. */
	if (f->source)
		return V_nat_stray;
	/* In a frame to every machine it is no client's either. */
	if (is_martian(f) || skb->pkt_type != PACKET_HOST)
		return V_nat_martian;
	/* A stray RST would only make a flow to end it. */
	if (f->tcp && f->flags & TCP_RST)
		return V_nat_stray;
	desk->fresh.way = WAY_REQUEST;
	desk->fresh.vip = f->vip.index;
	desk->fresh.marks = f->tcp && !f->syn ? MARK_OPEN : 0;
	desk->fresh.seen = TICK(now);
	verdict = choose(desk, f->service, f->tcp && !f->syn ? V_nat_adopted : V_nat_new);
	if (verdict >= FIRST_ROUTE)
		verdict = make(f, desk, verdict);
	if (verdict < FIRST_ROUTE)
		return verdict;
	verdict = route(skb, f, &desk->key, &desk->fresh, verdict);
	count_backend(skb->len, &desk->fresh, 1);
	return verdict;
}

/* An ICMP error to a VIP about a packet of a flow, at the node that serves it. Errors do not keep a flow alive. */
static __noinline enum verdict error_request(struct __sk_buff *skb, struct frame *f)
{
	__u32 zero = 0;
	struct desk *desk = bpf_map_lookup_elem(&desks, &zero);
	struct flow *flow;

	if (!desk)
		return V_dropped_failed;
	key_of(f, &desk->key);
	flow = bpf_map_lookup_elem(&flows, &desk->key);
	return flow ? route_error(skb, f, &desk->key, flow) : V_dropped_failed;
}

static __always_inline enum verdict serve(struct __sk_buff *skb, struct frame *f)
{
	return f->quote ? error_request(skb, f) : request(skb, f);
}

/* Who may serve a frame for a nat service; UNDECIDED: this node. Its flows are on every node, so that no earlier host is
   asked. */
static __always_inline enum verdict to_service(struct __sk_buff *skb, struct frame *f, const struct host *host)
{
	const struct nic *nic;
	int member;

	if (host->state == HOST_ON)
		return lease_holds() ? UNDECIDED : V_dropped_lease;
	member = is_member(f->source_mac);
	if (host->state == HOST_INCOMING && member)
		return UNDECIDED;
	nic = nic_of(skb);
	if (!nic)
		return V_dropped_stray;
	if (host->state == HOST_STEER)
		return member ? steer_on(skb, nic, f, host->node) : steer(skb, nic, host->node, V_steered);
	return V_dropped_off;
}

/* Is it about a packet that a backend sent? */
static __noinline int of_flow(struct frame *f)
{
	__u32 zero = 0;
	struct desk *desk = bpf_map_lookup_elem(&desks, &zero);
	struct flow *flow;

	if (!desk || !f)
		return 0;
	key_of(f, &desk->key);
	flow = bpf_map_lookup_elem(&flows, &desk->key);
	return flow && flow->way == WAY_REQUEST;
}

static __always_inline int is_of_service(struct frame *f)
{
	if (f->fragment)
		return fragment_of_service(f);
	return f->quote ? of_flow(f) : f->ports && has_service(f);
}

static __always_inline enum verdict to_vip(struct __sk_buff *skb, struct frame *f)
{
	struct host host = host_of(&f->vip);
	const struct nic *nic;
	enum verdict verdict;

	verdict = has_range(f) ? to_source(skb) : V_other;
	if (verdict == V_other && is_of_service(f))
		verdict = to_service(skb, f, &host);
	if (verdict == UNDECIDED)
		return serve(skb, f);
	if (verdict != V_other)
		return verdict;
	nic = nic_of(skb);
	if (!nic)
		return V_dropped_stray;
	/* Sockets get fragments only when they are one packet again. */
	if (f->fragment)
		f->tcp = f->syn = 0;
	if (is_member(f->source_mac))
		return from_member(skb, nic, f, &host);
	return from_outside(skb, nic, f, &host);
}

/* Keeps a reply for the flow that may be on its way from the node that made it (B.3). */
static __always_inline enum verdict hold(struct __sk_buff *skb)
{
	struct held *item;
	__u32 bytes = skb->len;

	if (bytes < ETH_BYTES + IP4_BYTES || bytes > HELD_FRAME)
		return V_nat_held_lost;
	item = bpf_ringbuf_reserve(&held, sizeof(*item), 0);
	if (!item)
		return V_nat_held_lost;
	item->nic = skb->ifindex;
	item->bytes = bytes;
	if (bpf_skb_load_bytes(skb, 0, item->frame, bytes) < 0) {
		bpf_ringbuf_discard(item, 0);
		return V_nat_held_lost;
	}
	bpf_ringbuf_submit(item, 0);
	return V_nat_held;
}

/* Is it for a connection that a program of this node has with the backend itself, as the probes of dsc-mon are? */
static __noinline int own_connection(struct __sk_buff *skb, struct frame *f)
{
	struct bpf_sock *socket;
	int own;

	if (!f || !f->tcp || f->fragment)
		return 0;
	socket = bpf_skc_lookup_tcp(skb, &f->tuple, f->is6 ? sizeof(f->tuple.ipv6) : sizeof(f->tuple.ipv4),
				    BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return 0;
	/* One that listens has no connection with anybody. */
	own = socket->state != BPF_TCP_LISTEN;
	bpf_sk_release(socket);
	return own;
}

/* A packet of no flow; does it come from a backend? UNDECIDED: it may begin a connection from inside. */
static __always_inline enum verdict of_no_flow(struct __sk_buff *skb, struct frame *f)
{
	struct end end = { .protocol = f->proto, .six = f->is6 };

	if (f->is6) {
		__builtin_memcpy(end.address, f->tuple.ipv6.saddr, 16);
		end.port = f->tuple.ipv6.sport;
	} else {
		__builtin_memcpy(end.address, &f->tuple.ipv4.saddr, 4);
		end.port = f->tuple.ipv4.sport;
	}
	if (f->quote)
		return V_other;
	if (!bpf_map_lookup_elem(&ends, &end))
		return has_sources() ? UNDECIDED : V_other;
	if (f->fragment == FRAGMENT_LATER)
		return V_nat_fragment_lost;
	if (own_connection(skb, f))
		return V_other;
	/* Only a flow's first reply can be ahead of it. */
	if (!f->tcp || (f->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
		return hold(skb);
	return V_nat_unknown;
}

/* An error from inside about a packet of the flow: does it say that the backend is not reached, before it has answered? */
static __always_inline void judge_error(struct __sk_buff *skb, const struct frame *f, struct flow *flow)
{
	__u8 told[2]; /* type and code */

	if (flow->marks & MARK_JUDGED || bpf_skb_load_bytes(skb, f->quote, told, 2) < 0)
		return;
	if (f->is6 ? told[0] != ICMP6_UNREACHABLE : told[0] != ICMP_UNREACHABLE || told[1] == ICMP_TOO_BIG)
		return;
	mark(flow, MARK_JUDGED);
	count_begin(flow, 0, 1);
}

/* A packet through this node; is it a backend's reply, or an error about a packet to a backend? UNDECIDED: as above; the key
   is on the desk then. */
static __noinline enum verdict from_end(struct __sk_buff *skb, struct frame *f)
{
	__u32 zero = 0;
	struct desk *desk = bpf_map_lookup_elem(&desks, &zero);
	struct flow_key *key;
	struct flow *flow;
	enum verdict verdict, done;

	if (!desk || !f)
		return V_other;
	if (f->fragment) {
		if (!fragment_of_end(f) && !fragment_of_source(skb))
			return V_other;
		if (!f->ports)
			return V_nat_fragment_lost;
	}
	key = &desk->key;
	key_of(f, key);
	flow = skb->cb[CB_NO_FLOW] ? 0 : bpf_map_lookup_elem(&flows, key);
	if (flow && flow->way == WAY_DIRECT) {
		follow_frame(f, key, flow, about_now());
		return V_nat_direct;
	}
	if (flow && f->syn && began_inside(flow) && ended(key, flow, &desk->back)) {
		bpf_map_delete_elem(&flows, &desk->back);
		bpf_map_delete_elem(&flows, key);
		flow = 0;
	}
	if (!flow || flow->way != WAY_REPLY)
		return of_no_flow(skb, f);
	if (symmetric && !began_inside(flow)) {
		verdict = to_host(skb, f, flow);
		if (verdict != V_nat_reply)
			return verdict;
	}
	if (f->quote) {
		judge_error(skb, f, flow);
		return route_error(skb, f, key, flow);
	}
	done = one_of(began_inside(flow), V_nat_reply, V_source_out);
	verdict = route(skb, f, key, flow, done);
	if (verdict == done) {
		follow_frame(f, key, flow, about_now());
		count_backend(skb->len, flow, 0);
		if (is_of_host(flow))
			count_vip(skb->len, flow->vip, done);
	}
	return verdict;
}

#endif
