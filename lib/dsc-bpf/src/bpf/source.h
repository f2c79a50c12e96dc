/* Source NAT: connections that start inside leave as from a VIP (7.4). The port is one of this node's own, so that no two
   nodes can choose the same one for the same end outside, and the owner of whatever comes for it is known by the port alone.
   The entries are those of a flow from outside: the far end's packets are its requests, the inner end's its replies. */
#ifndef DSC_SOURCE_H
#define DSC_SOURCE_H

#include "fragment.h"
#include "martian.h"
#include "rewrite.h"
#include "steer.h"

/* The functions of this drawer that are not static are verified by themselves, once, and not for each way that leads to
   them; they find the frame where the walk left it. */
static __always_inline struct frame *frame_at_hand(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&frames, &zero);
}

static __always_inline struct desk *own_desk(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&desks, &zero);
}

/* What is known of an address, or 0. */
static __always_inline const struct zone *zone_of(const __u8 *address, __u8 six)
{
	struct prefix4 four = { .bits = 32 };
	struct prefix6 key = { .bits = 128 };

	if (six) {
		__builtin_memcpy(key.address, address, 16);
		return bpf_map_lookup_elem(&zones6, &key);
	}
	__builtin_memcpy(four.address, address, 4);
	return bpf_map_lookup_elem(&zones4, &four);
}

/* Where no connection from inside is sent on to. Link-local addresses end at the first router. */
static __always_inline int is_unroutable(const __u8 *address, __u8 six)
{
	__u32 four;

	if (six)
		return is_martian6(address) || (address[0] == 0xFE && (address[1] & 0xC0) == 0x80);
	__builtin_memcpy(&four, address, 4);
	return is_martian4(four) || (address[0] == 169 && address[1] == 254);
}

/* The source NAT that a packet of no flow is for, by its two addresses; 0 if there is none. What stays inside, goes to a node
   or to a third subnet keeps its source. */
static __always_inline const struct source *source_of(struct __sk_buff *skb, const struct frame *f,
						      const struct flow_key *key)
{
	const struct zone *zone, *there;
	const struct source *source;
	const struct nic *nic;
	__u32 index;

	if (skb->pkt_type != PACKET_HOST)
		return 0;
	zone = zone_of(key->source, f->is6);
	if (!zone || zone->source == SOURCE_NONE)
		return 0;
	nic = nic_of(skb);
	if (!nic || nic->subnet != zone->subnet || is_unroutable(key->dest, f->is6))
		return 0;
	index = zone->source;
	source = bpf_map_lookup_elem(&sources, &index);
	if (!source || !source->ports || !source->vips)
		return 0;
	there = zone_of(key->dest, f->is6);
	if (there && (there->flags & ZONE_NODE || there->subnet != source->subnet))
		return 0;
	return source;
}

/* Is the fragment of a datagram that source NAT is for? It has ports then, unless it is lost. */
__noinline int fragment_of_source(struct __sk_buff *skb)
{
	struct frame *f = frame_at_hand();
	struct desk *desk = own_desk();

	if (!desk || !f || (f->proto != PROTO_TCP && f->proto != PROTO_UDP))
		return 0;
	key_of(f, &desk->key);
	if (!source_of(skb, f, &desk->key))
		return 0;
	join_fragment(f);
	return 1;
}

/* Which of `vips` VIPs: all connections of one machine leave as from one (RFC 4787, requirement 2). */
static __always_inline __u32 vip_for(const __u8 *address, __u32 vips)
{
	__u64 high, low;

	__builtin_memcpy(&high, address, 8);
	__builtin_memcpy(&low, address + 8, 8);
	return (__u32)(stir(stir(0, high), low) >> 16) % vips;
}

/* Takes a VIP and a free port for the packet of desk->key, and makes both entries; the inner one is in desk->fresh. */
static __always_inline enum verdict make_source(struct desk *desk, const struct source *source, __u8 subnet, __u64 now)
{
	struct flow *out = &desk->fresh, *in = &desk->reply;
	__u32 hash = hash_of(&desk->key);
	__u32 vip = vip_for(desk->key.source, source->vips);
	/* Before Linux 6.4 an insertion's answer has 32 bits, and what is above them is not its sign. */
	int result = -1;

	KEEP(vip);
	__builtin_memcpy(out->address, source->addresses[vip & (SOURCE_VIPS_MAX - 1)], 16);
	out->backend = BACKEND_NONE;
	out->way = WAY_REPLY;
	out->subnet = source->subnet;
	out->vip = source->indices[vip & (SOURCE_VIPS_MAX - 1)];
	out->marks = 0;
	out->seen = TICK(now);
	__builtin_memcpy(in->address, desk->key.source, 16);
	in->port = desk->key.source_port;
	in->backend = BACKEND_NONE;
	in->way = WAY_REQUEST;
	in->subnet = subnet;
	in->vip = out->vip;
	in->marks = 0;
	in->seen = TICK(now);
	for (int i = 0; i < PORTS_TRIED; i++) {
		out->port = bpf_htons(source->first + hash % source->ports);
		other_key(&desk->key, out, &desk->back);
		result = bpf_map_update_elem(&flows, &desk->back, in, BPF_NOEXIST);
		if (result != -EEXIST)
			break;
		hash = stir(hash, i + 1) >> 16;
	}
	if (result)
		return result == -EEXIST ? V_source_full : V_nat_full;
	if (bpf_map_update_elem(&flows, &desk->key, out, BPF_ANY)) {
		bpf_map_delete_elem(&flows, &desk->back);
		return V_nat_full;
	}
	tell_new(&desk->key, out);
	return V_source_new;
}

/* Is there any source NAT? Most frames on the way need no more than this. */
static __always_inline int has_sources(void)
{
	__u32 zero = 0;
	const struct source *first = bpf_map_lookup_elem(&sources, &zero);

	return first && first->vips;
}

/* A packet of no flow through this node: the first of a connection from inside, or any other, which passes. */
__noinline int originate(struct __sk_buff *skb)
{
	struct frame *f = frame_at_hand();
	struct desk *desk = own_desk();
	const struct nic *nic = nic_of(skb);
	const struct source *source;
	enum verdict verdict;

	if (!desk || !f || !nic)
		return V_other;
	source = source_of(skb, f, &desk->key);
	if (!source || !source->ports || !source->vips)
		return V_other;
	if (f->fragment == FRAGMENT_LATER)
		return V_nat_fragment_lost;
	/* Of a connection that somebody outside began with this machine directly, as far as can be known. */
	if (f->tcp && !f->syn)
		return V_source_unknown;
	/* Without a lease it may be that no other node hears of the flow. */
	if (!lease_holds())
		return V_source_lease;
	/* It may have one for long. */
	if (source->waits)
		return V_source_early;
	verdict = make_source(desk, source, nic->subnet, about_now());
	return verdict < FIRST_ROUTE ? verdict : route(skb, f, &desk->key, &desk->fresh, verdict);
}

/* The ports of source NAT on the VIP that the frame is for, or 0. */
static __always_inline const struct range *range_of(const struct frame *f)
{
	__u32 index = f->vip.index;
	const struct range *range = bpf_map_lookup_elem(&ranges, &index);

	return range && range->slice ? range : 0;
}

/* Is the frame's destination such a port? */
static __always_inline int has_range(struct frame *f)
{
	const struct range *range = range_of(f);
	__u16 port;

	if (!range)
		return 0;
	if (f->fragment)
		join_fragment(f);
	port = bpf_ntohs(f->is6 ? f->tuple.ipv6.dport : f->tuple.ipv4.dport);
	return (f->ports || f->quote) && port >= range->first && port <= range->last;
}

/* A frame from outside for a port of source NAT. Any node may serve what a member handed to it: where the flow is not known
   yet the host asks the owner of the port, and nobody else does. UNDECIDED: this node serves it. V_other: no flow has it, so
   that it is treated as for any other port. */
__noinline int to_source(struct __sk_buff *skb)
{
	struct frame *f = frame_at_hand();
	struct desk *desk = own_desk();
	const struct nic *nic = nic_of(skb);
	const struct range *range;
	const struct flow *flow;
	struct host host;
	int member, hosted;
	__u32 owner;

	if (!desk || !f || !nic)
		return V_dropped_stray;
	range = range_of(f);
	if (!range || !range->slice)
		return V_other;
	host = host_of(&f->vip);
	member = is_member(f->source_mac);
	hosted = host.state == HOST_ON && lease_holds();
	key_of(f, &desk->key);
	flow = bpf_map_lookup_elem(&flows, &desk->key);
	if (flow && flow->way == WAY_REQUEST && began_inside(flow)) {
		f->source = 1;
		if (member || hosted)
			return UNDECIDED;
		if (host.state == HOST_STEER)
			return steer(skb, nic, host.node, V_steered);
		return host.state == HOST_ON ? V_dropped_lease : V_dropped_off;
	}
	/* Nobody answers with a SYN alone. */
	if (f->syn || (f->tcp && socket_here(skb, f)))
		return V_other;
	owner = (__u16)(bpf_ntohs(f->is6 ? f->tuple.ipv6.dport : f->tuple.ipv4.dport) - range->first) / range->slice;
	/* The stack says so to the other end, which waits for nothing then. */
	if (owner == me)
		return member && f->tcp ? V_refused : V_other;
	if (member)
		return hosted || host.state == HOST_INCOMING ? steer_on(skb, nic, f, owner) : V_other;
	return hosted ? steer(skb, nic, owner, V_source_asked) : V_other;
}

#endif
