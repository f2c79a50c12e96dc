/* ICMP errors about packets of flows (RFC 5508): the packet that is quoted is rewritten as the flow's packets are, the other
   way round, so that its sender finds its own packet in it. A quoted transport checksum is kept as right or wrong as
   it came. */
#ifndef DSC_QUOTE_H
#define DSC_QUOTE_H

#include "rewrite.h"

/* `check` after words with the sums `diff`, new without old, were put in. */
static __always_inline __u16 resummed(__u16 check, __u64 diff)
{
	return ~fold(unsummed(check) + diff);
}

/* Sum of the 16-bit word `new` without `old`. */
static __always_inline __u32 word_diff(__u16 old, __u16 new)
{
	return (__u32)(__u16)~old + new;
}

/* Rewrites the end of the quoted packet that the flow replaces. The sum of all changes is put into `diff`. */
static __always_inline int requote(struct __sk_buff *skb, const struct frame *f, const struct flow_key *key,
				   const struct flow *flow, __u32 address_diff, __u64 *diff)
{
	int request = flow->way == WAY_REQUEST;
	int udp = f->proto == PROTO_UDP;
	__u32 ip_at = f->quote + ICMP_BYTES;
	__u32 check_at = f->at + (udp ? UDP_CHECKSUM : TCP_CHECKSUM);
	__u16 old_port = request ? key->dest_port : key->source_port;
	__u16 port = flow->port;
	__u32 port_diff = word_diff(old_port, port);
	__u8 address[16];
	__u16 old, new;

	__builtin_memcpy(address, flow->address, 16);
	if (f->is6) {
		if (bpf_skb_store_bytes(skb, ip_at + (request ? 8 : 24), address, 16, 0) < 0)
			return -1;
	} else {
		if (bpf_skb_store_bytes(skb, ip_at + (request ? 12 : 16), address, 4, 0) < 0)
			return -1;
		if (bpf_skb_load_bytes(skb, ip_at + IP4_CHECKSUM, &old, 2) < 0)
			return -1;
		new = resummed(old, address_diff);
		if (bpf_skb_store_bytes(skb, ip_at + IP4_CHECKSUM, &new, 2, 0) < 0)
			return -1;
		*diff += word_diff(old, new);
	}
	if (bpf_skb_store_bytes(skb, f->at + (request ? 0 : 2), &port, 2, 0) < 0)
		return -1;
	*diff += (__u64)address_diff + port_diff;
	/* Many errors quote no more than eight bytes of TCP; a datagram may have none. */
	if (bpf_skb_load_bytes(skb, check_at, &old, 2) < 0 || (udp && !old))
		return 0;
	new = resummed(old, (__u64)address_diff + port_diff);
	if (udp && !new)
		new = 0xFFFF;
	*diff += word_diff(old, new);
	return bpf_skb_store_bytes(skb, check_at, &new, 2, 0);
}

/* The outer header: to the backend; or from the VIP, if the backend itself says it and no router on the way. */
static __always_inline enum verdict reframe4(struct __sk_buff *skb, const struct flow_key *key,
					     const struct flow *flow, enum verdict done)
{
	int request = flow->way == WAY_REQUEST;
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_BYTES;
	__u32 replaced, from, to;

	if ((void *)(ip + 1) > end)
		return V_dropped_failed;
	__builtin_memcpy(&replaced, request ? key->dest : key->source, 4);
	__builtin_memcpy(&to, flow->address, 4);
	from = request ? ip->daddr : ip->saddr;
	if (from != replaced)
		to = from;
	return head4(ip, request, from, to) ? done : V_nat_hops;
}

static __always_inline enum verdict reframe6(struct __sk_buff *skb, const struct frame *f, const struct flow_key *key,
					     const struct flow *flow, __u32 address_diff, enum verdict done)
{
	int request = flow->way == WAY_REQUEST;
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + ETH_BYTES;
	void *place;

	if ((void *)(ip + 1) > end)
		return V_dropped_failed;
	if (ip->hop_limit <= 1)
		return V_nat_hops;
	ip->hop_limit--;
	place = request ? (void *)&ip->daddr : (void *)&ip->saddr;
	if (!same16(place, request ? key->dest : key->source))
		return done;
	__builtin_memcpy(place, flow->address, 16);
	if (bpf_l4_csum_replace(skb, f->quote + ICMP_CHECKSUM, 0, address_diff, BPF_F_PSEUDO_HDR) < 0)
		return V_dropped_failed;
	return done;
}

/* Rewrites the error and says by which interface it leaves. */
static __noinline enum verdict route_error(struct __sk_buff *skb, struct frame *f, const struct flow_key *key,
					   const struct flow *flow)
{
	enum verdict done, verdict;
	__u32 address_diff;
	__u64 diff = 0;
	__u32 bytes;

	if (!f || !key || !flow)
		return V_dropped_failed;
	done = flow->way == WAY_REQUEST ? V_nat_error_request : V_nat_error_reply;
	if (!has_way(skb, flow))
		return V_nat_no_way;
	if (mtu_if_too_big(skb, f->is6, skb->cb[CB_DOOR]))
		return V_nat_too_big_lost;
	bytes = f->is6 ? 16 : 4;
	address_diff = fold(bpf_csum_diff((__be32 *)(flow->way == WAY_REQUEST ? key->dest : key->source), bytes,
					  (__be32 *)flow->address, bytes, 0));
	verdict = f->is6 ? reframe6(skb, f, key, flow, address_diff, done) : reframe4(skb, key, flow, done);
	if (verdict != done)
		return verdict;
	if (requote(skb, f, key, flow, address_diff, &diff) < 0)
		return V_dropped_failed;
	if (bpf_l4_csum_replace(skb, f->quote + ICMP_CHECKSUM, 0, fold(diff), 0) < 0)
		return V_dropped_failed;
	return done;
}

#endif
