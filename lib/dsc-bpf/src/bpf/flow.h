/* The flows: how one is found, made, and how far it has come. Both entries of a flow are made together and taken
   together; none is ever pushed out by another. Who ages them: dsc-fwd. */
#ifndef DSC_FLOW_H
#define DSC_FLOW_H

#include "count.h"
#include "parse.h"

/* Is it source NAT's? Then it has no backend. */
static __always_inline int began_inside(const struct flow *flow)
{
	return flow->backend == BACKEND_NONE;
}

/* The direction of the frame's packet. */
static __always_inline void key_of(const struct frame *f, struct flow_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	if (f->is6) {
		__builtin_memcpy(key->source, f->tuple.ipv6.saddr, 16);
		__builtin_memcpy(key->dest, f->tuple.ipv6.daddr, 16);
		key->source_port = f->tuple.ipv6.sport;
		key->dest_port = f->tuple.ipv6.dport;
	} else {
		__builtin_memcpy(key->source, &f->tuple.ipv4.saddr, 4);
		__builtin_memcpy(key->dest, &f->tuple.ipv4.daddr, 4);
		key->source_port = f->tuple.ipv4.sport;
		key->dest_port = f->tuple.ipv4.dport;
	}
	key->protocol = f->proto;
	key->six = f->is6;
}

/* The other direction of the flow: what `flow` replaces is put in, and the ends change places. */
static __always_inline void other_key(const struct flow_key *key, const struct flow *flow, struct flow_key *other)
{
	int request = flow->way == WAY_REQUEST;

	copy16((__be32 *)other->source, (const __be32 *)(request ? flow->address : key->dest));
	copy16((__be32 *)other->dest, (const __be32 *)(request ? key->source : flow->address));
	other->source_port = request ? flow->port : key->dest_port;
	other->dest_port = request ? key->source_port : flow->port;
	other->protocol = key->protocol;
	other->six = key->six;
	other->unused[0] = other->unused[1] = 0;
}

/* Tells dsc-fwd; what has no room is found by its next sweep. What comes of a flow after its beginning is no hurry, and is
   taken along with the next one or in dsc-fwd's next turn. */
static __always_inline void tell(const struct flow_key *key, const struct flow *flow, __u64 wake)
{
	struct news *item = bpf_ringbuf_reserve(&news, sizeof(*item), 0);

	if (!item)
		return;
	item->key = *key;
	item->flow = *flow;
	item->at = bpf_ktime_get_boot_ns();
	bpf_ringbuf_submit(item, wake);
}

/* A new flow: the first reply may be at another node already, so it wakes dsc-fwd up, unless that comes by itself. */
static __always_inline void tell_new(const struct flow_key *key, const struct flow *flow)
{
	__u32 zero = 0;
	const __u32 *by_itself = bpf_map_lookup_elem(&polled, &zero);

	tell(key, flow, by_itself && *by_itself ? BPF_RB_NO_WAKEUP : BPF_RB_FORCE_WAKEUP);
}

static __always_inline void touch(struct flow *flow, __u64 now)
{
	if (flow->seen != TICK(now))
		flow->seen = TICK(now);
}

static __always_inline void mark(struct flow *flow, __u32 bits)
{
	__sync_fetch_and_or(&flow->marks, bits);
}

/* The flow has ended by our own doing: its client is refused, and may use its port for another one at once. */
static __always_inline void reset(const struct flow_key *key, struct flow *flow)
{
	if (flow->marks & MARK_RESET)
		return;
	mark(flow, MARK_RESET);
	tell(key, flow, BPF_RB_NO_WAKEUP);
}

/* A packet of the flow came: at what time, and what its flags, if it is of TCP, say about how far the flow has come. */
static __always_inline void follow(int tcp, __u8 flags, const struct flow_key *key, struct flow *flow, __u64 now)
{
	__u32 bits = flow->way == WAY_REPLY ? MARK_JUDGED : 0;

	touch(flow, now);
	/* Whoever did not begin has answered. */
	if (began_inside(flow) && flow->way == WAY_REQUEST)
		bits |= MARK_OPEN;
	if (tcp) {
		if (flow->way == WAY_REQUEST && !(flags & TCP_SYN))
			bits |= MARK_OPEN;
		if (flags & TCP_FIN)
			bits |= MARK_FIN;
		if (flags & TCP_RST)
			bits |= MARK_RESET;
	} else if (!began_inside(flow) && flow->way == WAY_REPLY) {
		bits |= MARK_OPEN;
	}
	bits &= ~flow->marks;
	if (!bits)
		return;
	mark(flow, bits);
	count_begin(flow, !!(bits & MARK_OPEN), bits & MARK_JUDGED && tcp && flags & TCP_RST);
	if (flow->way != WAY_DIRECT && bits != MARK_JUDGED)
		tell(key, flow, BPF_RB_NO_WAKEUP);
}

/* Has the flow ended, so that an opening packet begins another one? Its other key is put into `back`. */
static __always_inline int ended(const struct flow_key *key, const struct flow *flow, struct flow_key *back)
{
	struct flow *other;

	other_key(key, flow, back);
	if (flow->marks & MARK_RESET)
		return 1;
	other = bpf_map_lookup_elem(&flows, back);
	return !other || other->marks & MARK_RESET || (other->marks & flow->marks & MARK_FIN);
}

#endif
