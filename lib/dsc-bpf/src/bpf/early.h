/* The plain packet in the driver (native XDP), before the kernel makes a frame of the stack of it. What is not plain goes on
   to the stack unchanged, and so does what cannot leave from here: for an address whose MAC is not known yet, by an interface
   without the means, to a destination that the routing table has no gateway for. */
#ifndef DSC_EARLY_H
#define DSC_EARLY_H

#include "clock.h"
#include "count.h"
#include "plain.h"
#include "rewrite.h"

#define AF_INET 2
#define AF_INET6 10

/* Where packets to an address leave. As good as the routing and neighbour tables for the tick of the kernel in which they were
   asked: many packets ask once, few ask every time. */
struct hop {
	__u64 tick;
	__be32 from[4];
	__be32 to[4];
	__u32 nic;
	__u32 mtu;
	__u8 macs[12];
	__u32 asked;  /* interface and family */
	__u32 second; /* TICK() in which a packet was last left to the stack */
} BY_WORDS;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOPS_KEPT);
	__type(key, __u32);
	__type(value, struct hop);
} hops SEC(".maps");

static __always_inline int is_same(const __be32 *a, const __be32 *b)
{
	return ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3])) == 0;
}

/* Asks the tables for the way to hop->to. */
static __noinline int ask(struct xdp_md *ctx, struct hop *hop)
{
	struct bpf_fib_lookup ask = {};

	if (!hop)
		return 0;
	ask.ifindex = hop->asked >> 1;
	/* Not a length, but the only way to be told the MTU. */
	ask.tot_len = 1;
	if (hop->asked & 1) {
		ask.family = AF_INET6;
		copy16(ask.ipv6_src, hop->from);
		copy16(ask.ipv6_dst, hop->to);
	} else {
		ask.family = AF_INET;
		ask.ipv4_src = hop->from[0];
		ask.ipv4_dst = hop->to[0];
	}
	if (bpf_fib_lookup(ctx, &ask, sizeof(ask), BPF_FIB_LOOKUP_OUTPUT) != BPF_FIB_LKUP_RET_SUCCESS)
		return 0;
	/* IPv6 may know a better interface, of which nobody knows whether its driver sends. */
	if (ask.ifindex != hop->asked >> 1)
		return 0;
	hop->nic = ask.ifindex;
	hop->mtu = ask.mtu_result;
	__builtin_memcpy(hop->macs, ask.dmac, 6);
	__builtin_memcpy(hop->macs + 6, ask.smac, 6);
	hop->tick = this_tick();
	return 1;
}

/* Only the stack asks a neighbour whether it is still there, so that a packet a second is left to it. */
static __always_inline const struct hop *hop_to(struct xdp_md *ctx, const __be32 *from, const __be32 *to, __u32 asked,
						__u64 now)
{
	__u32 place = (to[0] ^ to[1] ^ to[2] ^ to[3]) + 31 * (from[0] ^ from[1] ^ from[2] ^ from[3]);
	struct hop *hop;

	place = (place ^ place >> 24 ^ place >> 16) % HOPS_KEPT;
	hop = bpf_map_lookup_elem(&hops, &place);
	if (!hop)
		return 0;
	if (hop->tick == this_tick() && hop->asked == asked && is_same(hop->to, to) && is_same(hop->from, from))
		return hop;
	hop->tick = 0;
	if (hop->second != TICK(now)) {
		hop->second = TICK(now);
		return 0;
	}
	hop->asked = asked;
	copy16(hop->from, from);
	copy16(hop->to, to);
	return ask(ctx, hop) ? hop : 0;
}

/* Puts the other end into the packet. The checksum covers both ends, and is right or wrong afterwards as it was before. */
static __always_inline enum verdict rewrite_early(void *data, void *end, const struct head *head,
						  const struct flow_key *key, const struct flow *flow,
						  enum verdict done)
{
	int request = flow->way == WAY_REQUEST;
	const __be32 *old = (const __be32 *)(request ? key->dest : key->source);
	const __be32 *new = (const __be32 *)flow->address;
	__u16 old_port = request ? key->dest_port : key->source_port;
	struct ports *ports = data + (head->is6 ? ETH_BYTES + IP6_BYTES : ETH_BYTES + IP4_BYTES);
	__u16 *check = (void *)ports + (head->tcp ? TCP_CHECKSUM : UDP_CHECKSUM);
	__u16 sum;

	if ((void *)(ports + 1) > end || (void *)(check + 1) > end)
		return V_dropped_failed;
	if (*check || head->tcp) {
		sum = ~fold((__u64)unsummed(*check) + address_diff(head->is6, old, new) + unsummed(old_port) + flow->port);
		*check = sum || head->tcp ? sum : 0xFFFF;
	}
	if (request)
		ports->dest = flow->port;
	else
		ports->source = flow->port;
	return rewrite_ip(data, end, head->is6, request, old, new, done);
}

/* Is the frame for this interface? A driver may show those of others too. */
static __always_inline int is_mine(const struct gates *gates, __u32 nic, const struct ethhdr *eth)
{
	__u16 mine[3], to[3];

#pragma unroll
	for (int i = 0; i < SUBNETS_MAX; i++) {
		if (gates->of[i].nic != nic)
			continue;
		__builtin_memcpy(mine, gates->of[i].mac, 6);
		__builtin_memcpy(to, eth->h_dest, 6);
		return ((mine[0] ^ to[0]) | (mine[1] ^ to[1]) | (mine[2] ^ to[2])) == 0;
	}
	return 0;
}

/* The interface by which the flow's packets leave, if they can leave from here. */
static __always_inline __u32 gate_of(const struct gates *gates, const struct flow *flow)
{
	const struct gate *gate = &gates->of[flow->subnet & (SUBNETS_MAX - 1)];

	return gate->sends ? gate->nic : 0;
}

static __always_inline int of_known_flow_early(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct flow_key key = {};
	struct head head = { .headed = 1 };
	const struct gates *own;
	const struct hop *hop;
	enum verdict done;
	struct flow *flow;
	__u32 zero = 0, door, bytes = end - data;
	__u8 flags = 0;
	__u64 now;

	if ((void *)(eth + 1) > end || !read_ends(data, end, eth->h_proto, &key, &flags))
		return XDP_PASS;
	flow = bpf_map_lookup_elem(&flows, &key);
	own = bpf_map_lookup_elem(&gates, &zero);
	if (!flow || !own || !is_mine(own, ctx->ingress_ifindex, eth))
		return XDP_PASS;
	now = about_now();
	door = gate_of(own, flow);
	if (!is_plain(flow, flags, now) || !door)
		return XDP_PASS;
	head.is6 = key.six;
	head.tcp = key.protocol == PROTO_TCP;
	done = done_with(flow);
	hop = flow->way == WAY_REQUEST ?
	      hop_to(ctx, (__be32 *)key.source, (__be32 *)flow->address, door << 1 | key.six, now) :
	      hop_to(ctx, (__be32 *)flow->address, (__be32 *)key.dest, door << 1 | key.six, now);
	if (!hop || bytes > hop->mtu + ETH_BYTES || is_last_hop(data, end, head.is6))
		return XDP_PASS;
	if (rewrite_early(data, end, &head, &key, flow, done) != done) {
		count_verdict(V_dropped_failed);
		return XDP_DROP;
	}
	__builtin_memcpy(eth->h_dest, hop->macs, 12);
	follow(head.tcp, flags, &key, flow, now);
	count_backend(bytes, flow, 0);
	if (is_of_host(flow))
		count_vip(bytes, flow->vip, done);
	count_verdict(done);
	return bpf_redirect(hop->nic, 0);
}

#endif
