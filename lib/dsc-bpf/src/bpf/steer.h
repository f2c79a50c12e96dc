/* Who gets a frame for a VIP: this node, the present host, or an earlier host with the connection, or with a
   program that waits for one that nobody waits for here, as for the next file of an FTP session (B.2). Frames are
   handed on by rewriting MAC addresses: no tunnel, no smaller MTU. The source MAC is rewritten too, or switches would
   learn the client's on our port; by it the receiver knows that the frame was handed on. */
#ifndef DSC_STEER_H
#define DSC_STEER_H

#include "lease.h"
#include "parse.h"

static __always_inline enum verdict steer(struct __sk_buff *skb, const struct nic *nic, __u32 node, enum verdict done)
{
	__u32 index = node * SUBNETS_MAX + nic->subnet;
	struct mac *station = bpf_map_lookup_elem(&stations, &index);
	__u8 macs[12];

	if (!station || !station->known || node == me)
		return V_dropped_no_mac;
	/* A frame for every machine reached the host by itself. */
	if (skb->pkt_type != PACKET_HOST)
		return V_dropped_off;
	copy6(macs, station->bytes);
	copy6(macs + 6, nic->mac);
	return bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0) < 0 ? V_dropped_failed : done;
}

/* Only frames that were handed on before pay with a hop: tables that disagree must not keep a frame for ever. */
static __always_inline enum verdict steer_on(struct __sk_buff *skb, const struct nic *nic, const struct frame *f,
					     __u32 node)
{
	__u32 at = ETH_BYTES + (f->is6 ? 7 : 8);
	__u8 hops[2]; /* TTL and protocol share a word of the IPv4 checksum */

	if (bpf_skb_load_bytes(skb, at, hops, 2) < 0 || hops[0] <= 1)
		return V_dropped_hops;
	if (!f->is6) {
		__u16 before, after;

		__builtin_memcpy(&before, hops, 2);
		hops[0]--;
		__builtin_memcpy(&after, hops, 2);
		hops[0]++;
		if (bpf_l3_csum_replace(skb, ETH_BYTES + 10, before, after, 2) < 0)
			return V_dropped_failed;
	}
	hops[0]--;
	if (bpf_skb_store_bytes(skb, at, hops, 1, 0) < 0)
		return V_dropped_failed;
	return steer(skb, nic, node, V_steered_past);
}

/* Does the connection of this frame end in a socket of this node? A listener has no connection yet, and a new one
   is not for a socket that only waits for its end; a SYN cookie that is valid here is a connection. */
static __always_inline int socket_here(struct __sk_buff *skb, struct frame *f)
{
	__u32 size = f->is6 ? sizeof(f->tuple.ipv6) : sizeof(f->tuple.ipv4);
	struct bpf_sock *socket = bpf_skc_lookup_tcp(skb, &f->tuple, size, BPF_F_CURRENT_NETNS, 0);
	int here = 0;

	if (!socket)
		return 0;
	if (socket->state == BPF_TCP_LISTEN) {
		if (f->ack_only) {
			struct iphdr ip4;
			struct ipv6hdr ip6;
			struct tcphdr tcp;

			if (bpf_skb_load_bytes(skb, f->at, &tcp, sizeof(tcp)) == 0) {
				if (f->is6) {
					if (bpf_skb_load_bytes(skb, ETH_BYTES, &ip6, sizeof(ip6)) == 0)
						here = bpf_tcp_check_syncookie(socket, &ip6, sizeof(ip6), &tcp,
									       sizeof(tcp)) == 0;
				} else if (bpf_skb_load_bytes(skb, ETH_BYTES, &ip4, sizeof(ip4)) == 0) {
					here = bpf_tcp_check_syncookie(socket, &ip4, sizeof(ip4), &tcp,
								       sizeof(tcp)) == 0;
				}
			}
		}
	} else {
		here = !(f->syn && socket->state == BPF_TCP_TIME_WAIT);
	}
	bpf_sk_release(socket);
	return here;
}

/* Does a program of this node wait for the connection that the frame opens, or have it already? With `named`, only one that
   listens on the VIP itself: what listens on every address is on every node, and is the host's matter. */
static __noinline int listens_here(struct __sk_buff *skb, struct frame *f, int named)
{
	struct bpf_sock *socket;
	int here = 1;

	if (!f)
		return 0;
	socket = bpf_skc_lookup_tcp(skb, &f->tuple, f->is6 ? sizeof(f->tuple.ipv6) : sizeof(f->tuple.ipv4),
				    BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return 0;
	if (named && socket->state != BPF_TCP_LISTEN)
		here = 0;
	else if (named && f->is6)
		here = (socket->src_ip6[0] | socket->src_ip6[1] | socket->src_ip6[2] | socket->src_ip6[3]) != 0;
	else if (named)
		here = socket->src_ip4 != 0;
	bpf_sk_release(socket);
	return here;
}

/* The node that may have the connection after this one; -1 at the end of the chain, -2 if this node is not in it. */
static __always_inline int next_past(const struct host *host)
{
	int found = -2;

#pragma unroll
	for (int i = 0; i < PAST_MAX; i++) {
		if (i >= host->pasts)
			break;
		if (found == -1)
			return host->past[i];
		if (host->past[i] == me)
			found = -1;
	}
	return found;
}

/* A frame straight from a client or a router. */
static __always_inline enum verdict from_outside(struct __sk_buff *skb, const struct nic *nic, struct frame *f,
						 const struct host *host)
{
	int lease = lease_holds();

	if (host->state == HOST_ON) {
		if (!lease)
			return V_dropped_lease;
		if (!f->tcp || !host->pasts || (f->syn ? listens_here(skb, f, 0) : socket_here(skb, f)))
			return V_delivered;
		return steer(skb, nic, host->past[0], V_steered_past);
	}
	if (lease && f->tcp && socket_here(skb, f))
		return V_delivered_socket;
	if (host->state == HOST_STEER)
		return steer(skb, nic, host->node, V_steered);
	return V_dropped_off;
}

/* A frame that another member handed on. It needs no lease here where the legitimate host sent it. */
static __always_inline enum verdict from_member(struct __sk_buff *skb, const struct nic *nic, struct frame *f,
						const struct host *host)
{
	int serves = host->state == HOST_INCOMING || (host->state == HOST_ON && lease_holds());
	int next;

	if (f->tcp && socket_here(skb, f))
		return V_delivered_steered;
	if (serves) {
		/* The sender may have hosted it only for a moment: the chain has to be searched from its start. */
		if (f->tcp && host->pasts && !(f->syn && listens_here(skb, f, 0)))
			return steer_on(skb, nic, f, host->past[0]);
		return V_delivered_steered;
	}
	next = next_past(host);
	if (!f->tcp || next == -2)
		return V_dropped_stray;
	if (f->syn && listens_here(skb, f, 1))
		return V_delivered_steered;
	return next == -1 ? V_refused : steer_on(skb, nic, f, next);
}

#endif
