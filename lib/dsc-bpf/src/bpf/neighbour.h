/* Neighbour discovery (RFC 4861, RFC 4862) for VIPs: solicitations, also those of duplicate address detection,
   are answered here or by nobody. */
#ifndef DSC_NEIGHBOUR_H
#define DSC_NEIGHBOUR_H

#include "lease.h"
#include "parse.h"

/* A solicitation or advertisement up to its options. */
struct nd {
	__u8 to[6];
	__u8 from[6];
	__be16 type;
	__u8 version[4];
	__be16 payload;
	__u8 next;
	__u8 hop_limit;
	__u8 source[16];
	__u8 dest[16];
	__u8 icmp_type;
	__u8 icmp_code;
	__be16 checksum;
	__u8 flags[4];
	__u8 target[16];
} __attribute__((packed));
SIZE(nd, 78);
AT(nd, source, 22);
AT(nd, dest, 38);
AT(nd, icmp_type, 54);
AT(nd, checksum, 56);
AT(nd, target, 62);

/* The advertisement we send: with the option that carries our MAC address. */
struct advert {
	struct nd nd;
	__u8 option_type;
	__u8 option_units;
	__u8 option_mac[6];
} __attribute__((packed));
SIZE(advert, 86);

/* What a checksum covers besides the message (RFC 8200 8.1); source and destination are taken from the frame. */
struct pseudo {
	__u8 source[16];
	__u8 dest[16];
	__be32 length;
	__be32 next;
};
SIZE(pseudo, 40);

static __always_inline __s64 sum_pseudo(const struct nd *nd, __u32 length)
{
	struct pseudo pseudo = { .length = bpf_htonl(length), .next = bpf_htonl(PROTO_ICMP6) };

	__builtin_memcpy(pseudo.source, nd->source, 16);
	__builtin_memcpy(pseudo.dest, nd->dest, 16);
	return bpf_csum_diff(0, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
}

static __always_inline __s64 sum_body(const struct nd *nd, __s64 sum)
{
	__u8 body[ND_BYTES];

	__builtin_memcpy(body, &nd->icmp_type, ND_BYTES);
	return bpf_csum_diff(0, 0, (__be32 *)body, ND_BYTES, sum);
}

/* Neighbour discovery has no extension headers in front. */
static __always_inline int is_icmp6(struct __sk_buff *skb)
{
	void *data, *end;

	pull(skb, HEAD_BYTES);
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	return data + ETH_BYTES + IP6_BYTES <= end && *(__u8 *)(data + 20) == PROTO_ICMP6;
}

/* Is it a solicitation or an advertisement at all? */
static __always_inline int load_nd(struct __sk_buff *skb, struct nd *nd)
{
	__u8 types[2];

	if (bpf_skb_load_bytes(skb, ETH_BYTES + IP6_BYTES, types, 2) < 0)
		return 0;
	if (types[0] != ND_SOLICIT && types[0] != ND_ADVERTISE)
		return 0;
	return bpf_skb_load_bytes(skb, 0, nd, sizeof(*nd)) == 0;
}

/* The checks of RFC 4861 7.1.1, as far as an answer could do harm without them. */
static __always_inline int sound(struct __sk_buff *skb, const struct nd *nd)
{
	__u32 length = bpf_ntohs(nd->payload);
	__s64 sum;

	if (nd->version[0] >> 4 != 6 || nd->hop_limit != ND_HOP_LIMIT || nd->icmp_code != 0 || nd->from[0] & 1)
		return 0;
	if (length < ND_BYTES || length > ND_BYTES + ND_OPTIONS_MAX || length % 8)
		return 0;
	sum = sum_body(nd, sum_pseudo(nd, length));
#pragma unroll
	for (int i = 0; i < ND_OPTIONS_MAX / 8; i++) {
		__u8 option[8];

		if (ND_BYTES + i * 8 >= length)
			break;
		if (bpf_skb_load_bytes(skb, sizeof(*nd) + i * 8, option, 8) < 0)
			return 0;
		sum = bpf_csum_diff(0, 0, (__be32 *)option, 8, sum);
	}
	return fold(sum) == 0xFFFF;
}

static __always_inline int is_zero(const __u8 *address)
{
	__u8 zero[16] = {};

	return same16(address, zero);
}

/* The solicitation becomes its own advertisement. One of duplicate address detection has no source to answer to:
   everybody is told. */
static __always_inline enum verdict answer_nd(struct __sk_buff *skb, const struct nd *ns, const struct nic *nic)
{
	struct advert na = { .nd = *ns };
	__u32 length = ND_BYTES + 8;
	__s64 sum;

	if (is_zero(ns->source)) {
		/* ff02::1 */
		__builtin_memset(na.nd.to, 0, 6);
		na.nd.to[0] = na.nd.to[1] = 0x33;
		na.nd.to[5] = 1;
		__builtin_memset(na.nd.dest, 0, 16);
		na.nd.dest[0] = 0xFF;
		na.nd.dest[1] = 0x02;
		na.nd.dest[15] = 1;
		na.nd.flags[0] = ND_OVERRIDE;
	} else {
		copy6(na.nd.to, ns->from);
		__builtin_memcpy(na.nd.dest, ns->source, 16);
		na.nd.flags[0] = ND_OVERRIDE | ND_SOLICITED;
	}
	if (nic->flags & NIC_ROUTER)
		na.nd.flags[0] |= ND_ROUTER;
	na.nd.flags[1] = na.nd.flags[2] = na.nd.flags[3] = 0;
	copy6(na.nd.from, nic->mac);
	na.nd.payload = bpf_htons(length);
	__builtin_memcpy(na.nd.source, ns->target, 16);
	na.nd.icmp_type = ND_ADVERTISE;
	na.nd.checksum = 0;
	na.option_type = ND_OPTION_TARGET;
	na.option_units = 1;
	copy6(na.option_mac, nic->mac);
	sum = sum_body(&na.nd, sum_pseudo(&na.nd, length));
	{
		__u8 option[8];

		__builtin_memcpy(option, &na.option_type, 8);
		sum = bpf_csum_diff(0, 0, (__be32 *)option, 8, sum);
	}
	na.nd.checksum = ~fold(sum);
	if (bpf_skb_change_tail(skb, sizeof(na), 0) < 0 || bpf_skb_store_bytes(skb, 0, &na, sizeof(na), 0) < 0)
		return V_dropped_failed;
	return V_answered_nd;
}

/* V_other: not about the MAC address of a VIP. */
static __noinline enum verdict nd_in(struct __sk_buff *skb, const struct nic *nic)
{
	const struct vip *vip;
	enum verdict verdict;
	struct nd nd;

	if (!load_nd(skb, &nd))
		return V_other;
	vip = vip6(nd.source);
	if (!vip && nd.icmp_type == ND_ADVERTISE)
		vip = vip6(nd.target);
	if (vip)
		return sound(skb, &nd) ? claimed(vip, nd.from) : V_silent_malformed;
	if (nd.icmp_type == ND_ADVERTISE)
		return V_other;
	vip = vip6(nd.target);
	if (!vip)
		return V_other;
	if (!sound(skb, &nd))
		return V_silent_malformed;
	verdict = may_answer(vip, nic, V_answered_nd);
	return verdict == V_answered_nd ? answer_nd(skb, &nd, nic) : verdict;
}

/* A solicitation of the OS with a VIP as its source becomes one with the interface's own address. */
static __always_inline enum verdict mend_source(struct __sk_buff *skb, const struct nd *ns, const struct nic *nic)
{
	__u8 old[16], own[16];
	__s64 change;

	__builtin_memcpy(old, ns->source, 16);
	__builtin_memcpy(own, nic->address6, 16);
	if (is_zero(own))
		return V_egress_claim;
	change = bpf_csum_diff((__be32 *)old, 16, (__be32 *)own, 16, 0);
	if (bpf_l4_csum_replace(skb, 56, 0, change, BPF_F_PSEUDO_HDR) < 0 ||
	    bpf_skb_store_bytes(skb, 22, own, 16, 0) < 0)
		return V_egress_claim;
	return V_egress_request_mended;
}

static __noinline enum verdict nd_out(struct __sk_buff *skb, const struct nic *nic)
{
	const struct vip *source, *target;
	struct nd nd;

	if (!load_nd(skb, &nd))
		return V_other;
	source = vip6(nd.source);
	target = nd.icmp_type == ND_ADVERTISE ? vip6(nd.target) : 0;
	if ((!source || hosted(source)) && (!target || hosted(target)))
		return V_other;
	return nd.icmp_type == ND_ADVERTISE ? V_egress_claim : mend_source(skb, &nd, nic);
}

#endif
