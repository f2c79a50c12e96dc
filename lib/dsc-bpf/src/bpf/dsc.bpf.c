/* The walk of a frame: parse, look up, answer or select, rewrite, count, return. Attached by dsc-fwd to both
   directions of each interface that carries a subnet, and to its driver if that is wanted; goes on without any daemon. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "constants.h"
#include "maps.h"
#include "arp.h"
#include "count.h"
#include "early.h"
#include "known.h"
#include "nat.h"
#include "neighbour.h"
#include "parse.h"
#include "put.h"
#include "steer.h"

/* A frame of a VLAN is its own interface's; tag 0 only has a priority and is ours. */
static __always_inline int of_vlan(struct __sk_buff *skb)
{
	return skb->vlan_present && (skb->vlan_tci & VLAN_ID_MASK);
}

static __always_inline enum verdict walk_in(struct __sk_buff *skb)
{
	__u32 zero = 0;
	const struct nic *nic;
	enum verdict verdict;
	struct frame *f;

	if (skb->pkt_type == PACKET_OTHERHOST || of_vlan(skb))
		return V_other;
	skb->cb[CB_NO_FLOW] = 0;
	if (skb->pkt_type == PACKET_HOST) {
		verdict = of_known_flow(skb);
		if (verdict != V_other)
			return verdict;
	}
	f = bpf_map_lookup_elem(&frames, &zero);
	if (!f)
		return V_other;
	__builtin_memset(f, 0, sizeof(*f));
	if (skb->protocol == bpf_htons(TYPE_IP4)) {
		if (!parse_ip4(skb, f))
			return V_other;
	} else if (skb->protocol == bpf_htons(TYPE_IP6)) {
		if (is_icmp6(skb)) {
			nic = nic_of(skb);
			verdict = nic ? nd_in(skb, nic) : V_other;
			if (verdict != V_other)
				return verdict;
		}
		if (!parse_ip6(skb, f))
			return V_other;
	} else if (skb->protocol == bpf_htons(TYPE_ARP)) {
		nic = nic_of(skb);
		return nic ? arp_in(skb, nic) : V_other;
	} else {
		return V_other;
	}
	parse_transport(skb, f);
	if (!f->to_vip) {
		verdict = f->ports || f->quote || f->fragment ? from_end(skb, f) : V_other;
		return verdict == UNDECIDED ? originate(skb) : verdict;
	}
	verdict = to_vip(skb, f);
	count_vip(skb->len, f->vip.index, verdict);
	return verdict;
}

static __always_inline enum verdict walk_out(struct __sk_buff *skb)
{
	const struct nic *nic;

	if (of_vlan(skb))
		return V_other;
	if (skb->protocol != bpf_htons(TYPE_ARP) && skb->protocol != bpf_htons(TYPE_IP6))
		return V_other;
	if (skb->protocol == bpf_htons(TYPE_IP6) && !is_icmp6(skb))
		return V_other;
	nic = nic_of(skb);
	if (!nic)
		return V_other;
	return skb->protocol == bpf_htons(TYPE_ARP) ? arp_out(skb, nic) : nd_out(skb, nic);
}

SEC("xdp")
int early(struct xdp_md *ctx)
{
	return of_known_flow_early(ctx);
}

SEC("classifier")
int ingress(struct __sk_buff *skb)
{
	return leave(skb, walk_in(skb));
}

SEC("classifier")
int egress(struct __sk_buff *skb)
{
	enum verdict verdict = walk_out(skb);

	/* What the OS sends is not counted as long as there is nothing to say about it. */
	return verdict == V_other ? NEXT : leave(skb, verdict);
}

/* Attached to nothing; dsc-fwd runs it. */
SEC("classifier")
int put(struct __sk_buff *skb)
{
	for (__u32 i = 0; i < PUTS_MAX && put_one(i); i++)
		;
	return DROP;
}

char LICENSE[] SEC("license") = "GPL";
