/* Counters, and the one way out of a program. */
#ifndef DSC_COUNT_H
#define DSC_COUNT_H

#include "maps.h"

static __always_inline void count_vip(__u32 bytes, __u32 index, enum verdict verdict)
{
	struct vip_count *count = bpf_map_lookup_elem(&vip_counts, &index);

	if (!count)
		return;
	if (verdict >= FIRST_SERVED) {
		count->packets++;
		count->bytes += bytes;
	} else if (verdict == V_steered || verdict == V_steered_past || verdict == V_source_asked) {
		count->steered++;
	} else if (verdict == V_delivered || verdict == V_delivered_socket || verdict == V_delivered_steered) {
		count->packets++;
		count->bytes += bytes;
	}
}

static __always_inline void count_backend(__u32 bytes, const struct flow *flow, int begun)
{
	__u32 index = flow->backend;
	struct backend_count *count = bpf_map_lookup_elem(&backend_counts, &index);

	if (!count)
		return;
	count->flows += begun;
	if (flow->way == WAY_REQUEST) {
		count->request_packets++;
		count->request_bytes += bytes;
	} else {
		count->reply_packets++;
		count->reply_bytes += bytes;
	}
}

/* What became of a flow's beginning. */
static __always_inline void count_begin(const struct flow *flow, int opened, int refused)
{
	__u32 index = flow->backend;
	struct backend_count *count;

	if (!opened && !refused)
		return;
	count = bpf_map_lookup_elem(&backend_counts, &index);
	if (!count)
		return;
	count->opened += opened;
	count->refused += refused;
}

static __always_inline void count_verdict(enum verdict verdict)
{
	__u32 index = verdict;
	__u64 *count = bpf_map_lookup_elem(&verdicts, &index);

	if (count)
		++*count;
}

/* The action that belongs to a verdict. A frame that cannot be sent counts as sent: the interface counts it. */
static __always_inline int leave(struct __sk_buff *skb, enum verdict verdict)
{
	count_verdict(verdict);
	if (verdict < FIRST_DROP)
		return NEXT;
	if (verdict < FIRST_SEND)
		return DROP;
	if (verdict < FIRST_ROUTE)
		return bpf_redirect(skb->ifindex, 0);
	return bpf_redirect_neigh(skb->cb[CB_DOOR], 0, 0, 0);
}

#endif
