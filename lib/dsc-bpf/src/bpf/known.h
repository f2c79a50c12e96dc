/* The plain packet on its way into the stack: found by its ends alone and rewritten where it stands. Whatever is not so simple
   is left as it is, for those who look at everything. */
#ifndef DSC_KNOWN_H
#define DSC_KNOWN_H

#include "clock.h"
#include "count.h"
#include "plain.h"
#include "rewrite.h"

/* The verdict, or V_other if the packet is not plain. */
static __noinline enum verdict of_known_flow(struct __sk_buff *skb)
{
	struct flow_key key = {};
	struct head head = { .headed = 1 };
	enum verdict done;
	struct flow *flow;
	__u8 flags = 0;
	__u64 now;

	pull(skb, HEAD_BYTES);
	if (!read_ends((void *)(long)skb->data, (void *)(long)skb->data_end, skb->protocol, &key, &flags))
		return V_other;
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow) {
		skb->cb[CB_NO_FLOW] = 1;
		return V_other;
	}
	now = about_now();
	if (!is_plain(flow, flags, now) || !has_way(skb, flow))
		return V_other;
	head.is6 = key.six;
	head.tcp = key.protocol == PROTO_TCP;
	head.at = ETH_BYTES + (head.is6 ? IP6_BYTES : IP4_BYTES);
	if (is_last_hop((void *)(long)skb->data, (void *)(long)skb->data_end, head.is6) ||
	    mtu_if_too_big(skb, head.is6, skb->cb[CB_DOOR]))
		return V_other;
	done = done_with(flow);
	if (rewrite(skb, &head, &key, flow, done) != done)
		return V_dropped_failed;
	follow(head.tcp, flags, &key, flow, now);
	count_backend(skb->len, flow, 0);
	if (is_of_host(flow))
		count_vip(skb->len, flow->vip, done);
	return done;
}

#endif
