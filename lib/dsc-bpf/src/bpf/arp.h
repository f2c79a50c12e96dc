/* ARP (RFC 826, RFC 5227) for VIPs: answered here or by nobody. */
#ifndef DSC_ARP_H
#define DSC_ARP_H

#include "lease.h"
#include "parse.h"

struct arp {
	__u8 to[6];
	__u8 from[6];
	__be16 type;
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_bytes;
	__u8 protocol_bytes;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender[4];
	__u8 target_mac[6];
	__u8 target[4];
} __attribute__((packed));
SIZE(arp, 42);
AT(arp, sender, 28);

static __always_inline int load_arp(struct __sk_buff *skb, struct arp *arp)
{
	return bpf_skb_load_bytes(skb, 0, arp, sizeof(*arp)) == 0 && arp->hardware == bpf_htons(1) &&
	       arp->protocol == bpf_htons(TYPE_IP4) && arp->hardware_bytes == 6 && arp->protocol_bytes == 4;
}

/* The request becomes its own reply. */
static __always_inline enum verdict answer_arp(struct __sk_buff *skb, struct arp *arp, const struct nic *nic)
{
	__u8 address[4];

	copy6(arp->to, arp->sender_mac);
	copy6(arp->from, nic->mac);
	arp->operation = bpf_htons(ARP_REPLY);
	copy6(arp->target_mac, arp->sender_mac);
	copy6(arp->sender_mac, nic->mac);
	__builtin_memcpy(address, arp->target, 4);
	__builtin_memcpy(arp->target, arp->sender, 4);
	__builtin_memcpy(arp->sender, address, 4);
	return bpf_skb_store_bytes(skb, 0, arp, sizeof(*arp), 0) < 0 ? V_dropped_failed : V_answered_arp;
}

static __noinline enum verdict arp_in(struct __sk_buff *skb, const struct nic *nic)
{
	const struct vip *vip;
	enum verdict verdict;
	struct arp arp;

	if (!load_arp(skb, &arp))
		return V_other;
	vip = vip4(arp.sender);
	if (vip)
		return claimed(vip, arp.sender_mac);
	if (arp.operation != bpf_htons(ARP_REQUEST))
		return V_other;
	vip = vip4(arp.target);
	if (!vip)
		return V_other;
	if (arp.sender_mac[0] & 1)
		return V_silent_malformed;
	verdict = may_answer(vip, nic, V_answered_arp);
	return verdict == V_answered_arp ? answer_arp(skb, &arp, nic) : verdict;
}

/* The OS asks for other machines with a VIP as its own address if that is the source of the packet that waits;
   everybody who hears that would believe it. */
static __noinline enum verdict arp_out(struct __sk_buff *skb, const struct nic *nic)
{
	const struct vip *vip;
	struct arp arp;

	if (!load_arp(skb, &arp))
		return V_other;
	vip = vip4(arp.sender);
	if (!vip || hosted(vip))
		return V_other;
	if (arp.operation != bpf_htons(ARP_REQUEST) || vip4(arp.target) == vip || *(const __u32 *)nic->address4 == 0)
		return V_egress_claim;
	if (bpf_skb_store_bytes(skb, 28, nic->address4, 4, 0) < 0)
		return V_egress_claim;
	return V_egress_request_mended;
}

#endif
