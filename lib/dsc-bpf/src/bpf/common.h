/* The common packet: whole, without options, of a flow that is known, at a node that serves it. It is found by its ends alone
   and rewritten where it stands. Whatever is not so simple is left as it is, for those who look at everything. */
#ifndef DSC_COMMON_H
#define DSC_COMMON_H

#include "clock.h"
#include "count.h"
#include "lease.h"
#include "rewrite.h"

/* Reads the ends, and the flags of TCP. */
static __always_inline int read_ends(void *data, void *end, __be16 type, struct flow_key *key, __u8 *flags)
{
	struct ports *ports;
	void *transport;

	if (type == bpf_htons(TYPE_IP4)) {
		struct iphdr *ip = data + ETH_BYTES;

		transport = ip + 1;
		if (transport + UDP_BYTES > end)
			return 0;
		if (ip->version != 4 || ip->ihl != 5 || ip->frag_off & bpf_htons(IP4_FRAGMENT))
			return 0;
		__builtin_memcpy(key->source, &ip->saddr, 4);
		__builtin_memcpy(key->dest, &ip->daddr, 4);
		key->protocol = ip->protocol;
	} else if (type == bpf_htons(TYPE_IP6)) {
		struct ipv6hdr *ip = data + ETH_BYTES;

		transport = ip + 1;
		if (transport + UDP_BYTES > end || ip->version != 6)
			return 0;
		__builtin_memcpy(key->source, &ip->saddr, 16);
		__builtin_memcpy(key->dest, &ip->daddr, 16);
		key->protocol = ip->nexthdr;
		key->six = 1;
	} else {
		return 0;
	}
	if (key->protocol == PROTO_TCP) {
		if (transport + TCP_BYTES > end)
			return 0;
		*flags = ((__u8 *)transport)[13];
	} else if (key->protocol != PROTO_UDP) {
		return 0;
	}
	ports = transport;
	key->source_port = ports->source;
	key->dest_port = ports->dest;
	return 1;
}

/* May this node rewrite a packet of the flow, with nothing else to decide? The lease may have ended within this tick: every
   node knows the flow, and whichever rewrites its packets does it alike. Who makes one looks at the real clock. */
static __always_inline int is_plain(const struct flow *flow, __u8 flags, __u64 now)
{
	const struct backend *backend;
	__u32 index;

	if (flow->way == WAY_REPLY)
		return 1;
	/* One that opens a connection may be of another one than the flow's. */
	if (flow->way != WAY_REQUEST || (flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return 0;
	if (host_at(flow->vip).state != HOST_ON || !lease_holds_at(now))
		return 0;
	index = flow->backend;
	backend = bpf_map_lookup_elem(&backends, &index);
	return backend && backend->state != BACKEND_DISABLED;
}

/* The verdict, or V_other if the packet is not common. */
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
	if (hops_of(skb, head.is6) <= 1 || mtu_if_too_big(skb, head.is6, skb->cb[CB_DOOR]))
		return V_other;
	done = flow->way == WAY_REQUEST ? V_nat_request : V_nat_reply;
	if (rewrite(skb, &head, &key, flow, done) != done)
		return V_dropped_failed;
	follow(head.tcp, flags, &key, flow, now);
	count_backend(skb, flow, 0);
	if (flow->way == WAY_REQUEST)
		count_vip(skb, flow->vip, done);
	return done;
}

#endif
