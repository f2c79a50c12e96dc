/* Rewrites one end of a packet: address, port, hops and checksums. A checksum that hardware is to fill in is kept so. */
#ifndef DSC_REWRITE_H
#define DSC_REWRITE_H

#include "mtu.h"

/* RFC 1624: the checksum without the old words, with the new ones. */
static __always_inline __u32 unsummed(__u16 check)
{
	return (__u16)~check;
}

static __always_inline __u32 swapped(__u32 sum, __u32 old, __u32 new)
{
	sum += (__u16)~(__u16)old + (__u16)~(__u16)(old >> 16);
	return sum + (__u16)new + (__u16)(new >> 16);
}

/* The head of IPv4: address and one hop less. */
static __always_inline int head4(struct iphdr *ip, int request, __u32 old, __u32 new)
{
	__u32 sum = unsummed(ip->check);
	__u16 before, after;

	if (ip->ttl <= 1)
		return 0;
	__builtin_memcpy(&before, &ip->ttl, 2);
	ip->ttl--;
	__builtin_memcpy(&after, &ip->ttl, 2);
	sum = swapped(sum, old, new) + (__u16)~before + after;
	ip->check = ~fold(sum);
	if (request)
		ip->daddr = new;
	else
		ip->saddr = new;
	return 1;
}

/* Where a packet's headers are. */
struct head {
	__u32 at; /* of the transport header */
	__u8 is6;
	__u8 tcp;
	__u8 headed; /* a later fragment has no transport header */
};

/* Sum of the words of the address `new` without those of `old`. */
static __always_inline __u32 address_diff(__u8 is6, const __be32 *old, const __be32 *new)
{
	__u64 sum = 0;

	if (is6) {
#pragma unroll
		for (int i = 0; i < 4; i++)
			sum += (__u64)(__u32)~old[i] + new[i];
	} else {
		sum = (__u64)(__u32)~*old + *new;
	}
	sum = (sum & 0xFFFFFFFF) + (sum >> 32);
	return (sum & 0xFFFFFFFF) + (sum >> 32);
}

/* The head of IP: address, one hop less, checksum. `done`, or why the packet cannot go on. */
static __always_inline enum verdict rewrite_ip(void *data, void *end, __u8 is6, int request, const __be32 *old,
					       const __be32 *new, enum verdict done)
{
	if (is6) {
		struct ipv6hdr *ip = data + ETH_BYTES;

		if ((void *)(ip + 1) > end)
			return V_dropped_failed;
		if (ip->hop_limit <= 1)
			return V_nat_hops;
		ip->hop_limit--;
		copy16(request ? ip->daddr.s6_addr32 : ip->saddr.s6_addr32, new);
	} else {
		struct iphdr *ip = data + ETH_BYTES;

		if ((void *)(ip + 1) > end)
			return V_dropped_failed;
		if (!head4(ip, request, *old, *new))
			return V_nat_hops;
	}
	return done;
}

static __always_inline __be16 *word_at(struct __sk_buff *skb, __u32 at)
{
	__be16 *place;

	KEEP(at);
	if (at > AT_MAX + TCP_CHECKSUM)
		return 0;
	place = (void *)(long)skb->data + at;
	KEEP(place);
	return (void *)(place + 1) > (void *)(long)skb->data_end ? 0 : place;
}

/* Makes the port readable and replaces it. */
static __always_inline int set_port(struct __sk_buff *skb, __u32 at, __u32 port_at, __be16 port)
{
	__be16 *place = word_at(skb, port_at);

	if (!place) {
		if (bpf_skb_pull_data(skb, at + TCP_BYTES < skb->len ? at + TCP_BYTES : skb->len) < 0)
			return -1;
		place = word_at(skb, port_at);
		if (!place)
			return -1;
	}
	*place = port;
	return 0;
}

/* Does the checksum that `before` became cover the ports? One that hardware is to fill in does not, and moved the other way.
   False if it did not move, so that nothing can be seen. */
static __always_inline int is_full(__u16 before, __u16 after, __u64 diff)
{
	__u16 moved = fold(diff);

	return moved && moved != 0xFFFF && after == (__u16)~fold(diff + unsummed(before));
}

/* `done`, or why the packet cannot go on. */
static __always_inline enum verdict rewrite(struct __sk_buff *skb, const struct head *head, const struct flow_key *key,
					    const struct flow *flow, enum verdict done)
{
	int request = flow->way == WAY_REQUEST;
	const __be32 *old = (const __be32 *)(request ? key->dest : key->source);
	const __be32 *new = (const __be32 *)flow->address;
	__be16 old_port = request ? key->dest_port : key->source_port;
	__u32 at = head->at;
	__u32 port_at = at + (request ? 2 : 0);
	__u32 flags = head->tcp ? 0 : BPF_F_MARK_MANGLED_0;
	__u32 sum_at = at + (head->tcp ? TCP_CHECKSUM : UDP_CHECKSUM);
	__be16 port = flow->port;
	enum verdict verdict;
	__be16 *check;
	__u16 before;
	int seen;
	__u64 diff;

	if (port_at > AT_MAX)
		return V_dropped_failed;
	if (head->headed && set_port(skb, at, port_at, port) < 0)
		return V_dropped_failed;
	READ_AGAIN();
	verdict = rewrite_ip((void *)(long)skb->data, (void *)(long)skb->data_end, head->is6, request, old, new, done);
	if (verdict != done)
		return verdict;
	if (!head->headed)
		return done;
	diff = address_diff(head->is6, old, new);
	check = word_at(skb, sum_at);
	seen = check != 0;
	before = seen ? *check : 0;
	if (bpf_l4_csum_replace(skb, sum_at, 0, diff, BPF_F_PSEUDO_HDR | flags) < 0)
		return V_dropped_failed;
	if (old_port == port)
		return done;
	check = word_at(skb, sum_at);
	if (seen && check && head->tcp && is_full(before, *check, diff))
		*check = ~fold((__u64)unsummed(*check) + unsummed(old_port) + port);
	else if (bpf_l4_csum_replace(skb, sum_at, old_port, port, flags | 2) < 0)
		return V_dropped_failed;
	return done;
}

/* Leaves in skb->cb by which interface the packets of `flow` go. */
static __always_inline int has_way(struct __sk_buff *skb, const struct flow *flow)
{
	__u32 subnet = flow->subnet;
	const __u32 *door = bpf_map_lookup_elem(&doors, &subnet);

	if (!door || !*door)
		return 0;
	skb->cb[CB_DOOR] = *door;
	return 1;
}

/* As route(), but only says that the sender has to be told why the packet cannot go on; in skb->cb is the MTU that it does
   not fit, or 0. */
static __noinline enum verdict route_if_it_can(struct __sk_buff *skb, const struct frame *f,
					       const struct flow_key *key, const struct flow *flow,
					       enum verdict done)
{
	struct head head = {
		.at = f->at,
		.is6 = f->is6,
		.tcp = f->tcp,
		.headed = f->fragment != FRAGMENT_LATER,
	};
	__u32 mtu = 0;

	if (!has_way(skb, flow))
		return V_nat_no_way;
	if (is_last_hop((void *)(long)skb->data, (void *)(long)skb->data_end, f->is6) ||
	    (mtu = mtu_if_too_big(skb, f->is6, skb->cb[CB_DOOR]))) {
		skb->cb[CB_MTU] = mtu;
		return V_nat_too_big;
	}
	return rewrite(skb, &head, key, flow, done);
}

/* Rewrites the packet and says by which interface it leaves. */
static __always_inline enum verdict route(struct __sk_buff *skb, const struct frame *f, const struct flow_key *key,
					  const struct flow *flow, enum verdict done)
{
	enum verdict verdict = route_if_it_can(skb, f, key, flow, done);

	return verdict == V_nat_too_big ? tell_sender(skb, f, key, flow, skb->cb[CB_MTU]) : verdict;
}

#endif
