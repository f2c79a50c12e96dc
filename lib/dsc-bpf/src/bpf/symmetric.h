/* Symmetric routing (B.7): a reply leaves by the node where its flow's requests come in, the host of the flow's VIP.

   The patent has an authority for each flow, which knows that node and tells whoever asks. Here every node knows every flow,
   and who hosts each VIP: the table that the ring writes into the kernel. So the node that a backend's reply reaches knows
   the way from the first packet on, asks nobody, and remembers nothing that a move would make wrong. It hands the frame on
   as `steer.h` does, on the subnet where it came. Without a host that can be reached it sends the reply itself. */
#ifndef DSC_SYMMETRIC_H
#define DSC_SYMMETRIC_H

#include "steer.h"

/* V_nat_reply if this node sends it: it is the host, or no other is known. Between members whose tables disagree a reply
   pays for each turn with a hop. */
static __always_inline enum verdict to_host(struct __sk_buff *skb, const struct frame *f, const struct flow *flow)
{
	struct host host = host_at(flow->vip);
	const struct nic *nic = nic_of(skb);
	enum verdict verdict;

	if (!nic || host.state != HOST_STEER)
		return V_nat_reply;
	verdict = is_member(f->source_mac) ? steer_on(skb, nic, f, host.node)
					   : steer(skb, nic, host.node, V_steered_past);
	if (verdict == V_dropped_no_mac)
		return V_nat_reply;
	return verdict == V_steered_past ? V_nat_steered : verdict;
}

#endif
