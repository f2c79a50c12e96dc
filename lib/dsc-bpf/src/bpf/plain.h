/* The plain packet: whole, without options, of a flow that is known, at a node that serves it. How it is told from all others,
   on either hook: by known.h among the frames of the stack, by early.h in the driver. */
#ifndef DSC_PLAIN_H
#define DSC_PLAIN_H

#include "flow.h"
#include "lease.h"

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

/* May this node rewrite a packet of the flow, with nothing else to decide? The lease is judged by about_now(), so that it may
   have ended within this tick, or while a paused machine has had no tick yet: every node knows the flow, and whichever
   rewrites its packets does it alike. Who makes one, or answers for a VIP, looks at the real clock. */
static __always_inline int is_plain(const struct flow *flow, __u8 flags, __u64 now)
{
	const struct backend *backend;
	__u32 index;

	/* One that opens a connection may be of another one than the flow's. */
	if (flow->way == WAY_DIRECT || (flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return 0;
	if (flow->way == WAY_REPLY)
		return !symmetric || began_inside(flow) || host_at(flow->vip).state != HOST_STEER;
	if (host_at(flow->vip).state != HOST_ON || !lease_holds_at(now))
		return 0;
	if (began_inside(flow))
		return 1;
	index = flow->backend;
	backend = bpf_map_lookup_elem(&backends, &index);
	return backend && backend->state != BACKEND_DISABLED;
}

/* Does this node forward the packet because it hosts the flow's VIP? Replies leave by the node that their gateway is on,
   unless routing is symmetric. */
static __always_inline int is_of_host(const struct flow *flow)
{
	return flow->way == WAY_REQUEST || (symmetric && !began_inside(flow));
}

/* What is counted for a packet of the flow that goes on. */
static __always_inline enum verdict done_with(const struct flow *flow)
{
	if (began_inside(flow))
		return flow->way == WAY_REQUEST ? V_source_in : V_source_out;
	return flow->way == WAY_REQUEST ? V_nat_request : V_nat_reply;
}

#endif
