/* Packets that do not fit where they should leave, or have no hop left to get there. The sender is told (RFC 792, RFC 1191,
   RFC 4443 3.2 and 3.3): the packet is cut to the part that is quoted, and gets the head of an ICMP error. It comes from the VIP
   if a client sent the packet, and from this machine if a backend did, unless its address is link-local, which would not
   reach a backend behind a router. It goes where that client's or backend's other packets go, by the interface it came from.

   IPv4 packets that may be fragmented are told of as well: nothing here cuts them, and their sender can. A packet of
   several segments is judged by its segments. These errors have no limit of their own: one for one packet, and no longer than
   that by more than its head. Later fragments and ICMP errors that do not fit or have no hop left are lost. What counts is the
   interface's MTU, not a route's. */
#ifndef DSC_MTU_H
#define DSC_MTU_H

#include "flow.h"

struct icmp_head {
	__u8 type;
	__u8 code;
	__be16 check;
	__be32 mtu;
};

/* The MTU of the interface `door` if the packet does not fit, else 0. */
static __always_inline __u32 mtu_if_too_big(struct __sk_buff *skb, __u8 is6, __u32 door)
{
	__u32 mtu = 0;

	if (skb->len <= ETH_BYTES + (is6 ? MTU6_LEAST : MTU4_LEAST))
		return 0;
	/* An error is another interface's fault, which the kernel finds when it sends. */
	return bpf_check_mtu(skb, door, &mtu, 0, BPF_MTU_CHK_SEGS) > 0 ? mtu : 0;
}

/* The sum of bytes of the packet; a multiple of four, up to QUOTE6_BYTES. */
static __always_inline int sum_of(struct __sk_buff *skb, struct desk *desk, __u32 at, __u32 bytes, __u64 *sum)
{
	for (int i = 0; i < (QUOTE6_BYTES + QUOTE_PART - 1) / QUOTE_PART; i++) {
		__u32 part = bytes < QUOTE_PART ? bytes : QUOTE_PART;
		__s64 more;

		if (part < 4)
			break;
		/* Changes nothing, but the verifier of older kernels forgets a comparison with what lies on the stack. */
		KEEP(part);
		part = ((part - 1) & (QUOTE_PART - 1)) + 1;
		if (bpf_skb_load_bytes(skb, at, desk->quote, part) < 0)
			return -1;
		more = bpf_csum_diff(0, 0, (__be32 *)desk->quote, part, 0);
		if (more < 0)
			return -1;
		*sum += fold(more);
		at += part;
		bytes -= part;
	}
	return 0;
}

/* Is the checksum still to be filled in by the interface that sends the packet? Then it is the pseudo header's sum. One
   in 65536 others looks so too, which spoils one error. */
static __always_inline int unfilled(struct __sk_buff *skb, const struct frame *f, const struct flow_key *key,
				    __u16 *check)
{
	__u32 bytes = skb->len - f->at;
	__s64 sum;

	if (f->fragment ||
	    bpf_skb_load_bytes(skb, f->at + (f->tcp ? TCP_CHECKSUM : UDP_CHECKSUM), check, 2) < 0)
		return 0;
	/* Both addresses: they stand side by side. */
	sum = bpf_csum_diff(0, 0, (__be32 *)key->source, 32, 0);
	if (sum < 0)
		return 0;
	sum += bpf_htons(f->proto);
	sum += bpf_htons(bytes >> 16);
	sum += bpf_htons(bytes);
	return *check == fold(sum);
}

/* The sum of the quote as it arrives. A checksum that is filled in later makes the sum of all that it covers the
   opposite of what stands there now. */
static __always_inline int sum_of_quote(struct __sk_buff *skb, struct desk *desk, const struct frame *f,
					const struct flow_key *key, __u32 bytes, __u64 *sum)
{
	__u16 check;

	if (!unfilled(skb, f, key, &check))
		return sum_of(skb, desk, ETH_BYTES, bytes, sum);
	*sum += (__u16)~check;
	return sum_of(skb, desk, ETH_BYTES, f->at - ETH_BYTES, sum);
}

static __always_inline int put_head4(struct __sk_buff *skb, const struct desk *desk, __u32 bytes, __u32 mtu, __u64 sum)
{
	struct {
		struct iphdr ip;
		struct icmp_head icmp;
	} head = {};
	__s64 ip_sum;

	head.icmp.type = mtu ? 3 : 11;
	head.icmp.code = mtu ? 4 : 0;
	head.icmp.mtu = bpf_htonl(mtu < 0xFFFF ? mtu : 0xFFFF);
	head.icmp.check = ~fold(sum + (__u64)bpf_csum_diff(0, 0, (__be32 *)&head.icmp, ICMP_BYTES, 0));
	head.ip.version = 4;
	head.ip.ihl = 5;
	head.ip.tot_len = bpf_htons(sizeof(head) + bytes);
	head.ip.frag_off = bpf_htons(0x4000);
	head.ip.ttl = HOPS;
	head.ip.protocol = PROTO_ICMP;
	__builtin_memcpy(&head.ip.saddr, desk->told_by, 4);
	__builtin_memcpy(&head.ip.daddr, desk->told, 4);
	ip_sum = bpf_csum_diff(0, 0, (__be32 *)&head.ip, IP4_BYTES, 0);
	head.ip.check = ~fold(ip_sum);
	if (bpf_skb_adjust_room(skb, sizeof(head), BPF_ADJ_ROOM_MAC, 0) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, ETH_BYTES, &head, sizeof(head), 0);
}

static __always_inline int put_head6(struct __sk_buff *skb, const struct desk *desk, __u32 bytes, __u32 mtu, __u64 sum)
{
	struct {
		struct ipv6hdr ip;
		struct icmp_head icmp;
	} head = {};

	head.icmp.type = mtu ? 2 : 3;
	head.icmp.mtu = bpf_htonl(mtu);
	sum += (__u64)bpf_csum_diff(0, 0, (__be32 *)&head.icmp, ICMP_BYTES, 0);
	sum += (__u64)bpf_csum_diff(0, 0, (__be32 *)desk->told_by, 32, 0);
	sum += bpf_htons(ICMP_BYTES + bytes) + bpf_htons(PROTO_ICMP6);
	head.icmp.check = ~fold(sum);
	head.ip.version = 6;
	head.ip.payload_len = bpf_htons(ICMP_BYTES + bytes);
	head.ip.nexthdr = PROTO_ICMP6;
	head.ip.hop_limit = HOPS;
	__builtin_memcpy(&head.ip.saddr, desk->told_by, 16);
	__builtin_memcpy(&head.ip.daddr, desk->told, 16);
	if (bpf_skb_adjust_room(skb, sizeof(head), BPF_ADJ_ROOM_MAC, 0) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, ETH_BYTES, &head, sizeof(head), 0);
}

/* Who says it. */
static __always_inline const void *teller(const struct frame *f, const struct flow_key *key, const struct flow *flow,
					  const struct nic *nic)
{
	__u32 first;

	if (flow->way == WAY_REQUEST)
		return key->dest;
	__builtin_memcpy(&first, f->is6 ? nic->address6 : nic->address4, 4);
	if (!first || (f->is6 && (first & bpf_htonl(0xFFC00000)) == bpf_htonl(0xFE800000)))
		return flow->address;
	return f->is6 ? nic->address6 : nic->address4;
}

/* Bytes of the packet that are quoted: a multiple of four, for their sum. */
static __always_inline __u32 quote_of(struct __sk_buff *skb, __u8 is6)
{
	__u32 most = is6 ? QUOTE6_BYTES : QUOTE4_BYTES;
	__u32 bytes = skb->len - ETH_BYTES;

	return bytes < most ? bytes & ~3 : most;
}

/* Makes the packet an error about itself: it does not fit `mtu`, or, if that is 0, its hops are used up. */
static __noinline enum verdict tell_sender(struct __sk_buff *skb, const struct frame *f, const struct flow_key *key,
					   const struct flow *flow, __u32 mtu)
{
	__u32 zero = 0, index = skb->ifindex;
	struct desk *desk = bpf_map_lookup_elem(&desks, &zero);
	const struct nic *nic = bpf_map_lookup_elem(&nics, &index);
	__u64 sum = 0;
	__u32 bytes;

	if (!desk || !nic || !f || !key || !flow)
		return V_dropped_failed;
	bytes = quote_of(skb, f->is6);
	__builtin_memset(desk->told_by, 0, 16);
	if (f->is6)
		__builtin_memcpy(desk->told_by, teller(f, key, flow, nic), 16);
	else
		__builtin_memcpy(desk->told_by, teller(f, key, flow, nic), 4);
	__builtin_memcpy(desk->told, key->source, 16);
	if (f->fragment == FRAGMENT_LATER || f->quote || f->at > AT_MAX || skb->pkt_type != PACKET_HOST)
		return mtu ? V_nat_too_big_lost : V_nat_hops;
	if (sum_of_quote(skb, desk, f, key, bytes, &sum) < 0 || bpf_skb_change_tail(skb, ETH_BYTES + bytes, 0) < 0)
		return V_dropped_failed;
	if ((f->is6 ? put_head6(skb, desk, bytes, mtu, sum) : put_head4(skb, desk, bytes, mtu, sum)) < 0)
		return V_dropped_failed;
	skb->cb[CB_DOOR] = skb->ifindex;
	return mtu ? V_nat_too_big : V_nat_time_exceeded;
}

#endif
