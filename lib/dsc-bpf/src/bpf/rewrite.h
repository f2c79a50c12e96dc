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

/* Makes the port readable and replaces it. */
static __always_inline int set_port(struct __sk_buff *skb, __u32 at, __u32 port_at, __be16 port)
{
	__be16 *place = (void *)(long)skb->data + port_at;

	KEEP(place);
	if ((void *)(place + 1) > (void *)(long)skb->data_end) {
		if (bpf_skb_pull_data(skb, at + TCP_BYTES < skb->len ? at + TCP_BYTES : skb->len) < 0)
			return -1;
		place = (void *)(long)skb->data + port_at;
		KEEP(place);
		if ((void *)(place + 1) > (void *)(long)skb->data_end)
			return -1;
	}
	*place = port;
	return 0;
}

/* `done`, or why the packet cannot go on. */
static __always_inline enum verdict rewrite(struct __sk_buff *skb, const struct frame *f, const struct flow_key *key,
					    const struct flow *flow, enum verdict done)
{
	int request = flow->way == WAY_REQUEST;
	const __u8 *old = request ? key->dest : key->source;
	__be16 old_port = request ? key->dest_port : key->source_port;
	__u32 at = f->at;
	__u32 port_at = at + (request ? 2 : 0);
	__u32 flags = f->tcp ? 0 : BPF_F_MARK_MANGLED_0;
	__u32 sum_at = at + (f->tcp ? TCP_CHECKSUM : UDP_CHECKSUM);
	/* A later fragment has no transport header. */
	int headed = f->fragment != FRAGMENT_LATER;
	__u8 address[16];
	__be16 port = flow->port;
	void *data, *end;
	__s64 diff;

	if (port_at > AT_MAX)
		return V_dropped_failed;
	__builtin_memcpy(address, flow->address, 16);
	if (headed && set_port(skb, at, port_at, port) < 0)
		return V_dropped_failed;
	READ_AGAIN();
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (f->is6) {
		struct ipv6hdr *ip = data + ETH_BYTES;

		if ((void *)(ip + 1) > end)
			return V_dropped_failed;
		if (ip->hop_limit <= 1)
			return V_nat_hops;
		ip->hop_limit--;
		__builtin_memcpy(request ? (void *)&ip->daddr : (void *)&ip->saddr, address, 16);
		if (!headed)
			return done;
		diff = bpf_csum_diff((__be32 *)old, 16, (__be32 *)address, 16, 0);
		if (bpf_l4_csum_replace(skb, sum_at, 0, diff, BPF_F_PSEUDO_HDR | flags) < 0)
			return V_dropped_failed;
	} else {
		struct iphdr *ip = data + ETH_BYTES;
		__u32 from, to;

		if ((void *)(ip + 1) > end)
			return V_dropped_failed;
		__builtin_memcpy(&from, old, 4);
		__builtin_memcpy(&to, address, 4);
		if (!head4(ip, request, from, to))
			return V_nat_hops;
		if (!headed)
			return done;
		if (bpf_l4_csum_replace(skb, sum_at, from, to, BPF_F_PSEUDO_HDR | flags | 4) < 0)
			return V_dropped_failed;
	}
	if (old_port != port && bpf_l4_csum_replace(skb, sum_at, old_port, port, flags | 2) < 0)
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

/* Rewrites the packet and says by which interface it leaves. */
static __always_inline enum verdict route(struct __sk_buff *skb, const struct frame *f, const struct flow_key *key,
					  const struct flow *flow, enum verdict done)
{
	__u32 mtu;

	if (!has_way(skb, flow))
		return V_nat_no_way;
	mtu = mtu_if_too_big(skb, f->is6, skb->cb[CB_DOOR]);
	if (mtu)
		return tell_too_big(skb, f, key, flow, mtu);
	return rewrite(skb, f, key, flow, done);
}

#endif
