/* From bytes to what the rules ask about: addresses, ports, whether the frame can belong to a connection. Reads
   only; anything it cannot make sense of is left to the stack, which checks it again anyway. */
#ifndef DSC_PARSE_H
#define DSC_PARSE_H

#include "maps.h"

/* An IP frame. */
struct frame {
	struct vip vip;      /* its destination, if to_vip */
	__u16 service;       /* the nat service it is for; looked up when first asked for */
	__u8 to_vip;
	__u8 source;         /* it is of a flow that began inside */
	__u8 source_mac[6];
	__u8 is6;
	__u8 proto;          /* after extension headers */
	__u8 fragment;       /* FRAGMENT_*, or 0 if it is whole */
	__u8 ports;          /* the tuple has them and they are the frame's own: TCP or UDP */
	__u8 tcp;            /* tuple is filled */
	__u8 syn;            /* opens a connection */
	__u8 ack_only;       /* may carry a SYN cookie */
	__u8 flags;          /* of TCP */
	__u32 at;            /* of the transport header; of the quoted one if there is a quote */
	__u32 id;            /* of a fragment */
	__u32 quote;         /* where the ICMP error begins that quotes a packet of a connection, or 0 */
	struct bpf_sock_tuple tuple; /* as a segment that arrives: source is the other end */
};

/* The frame at hand, in a map for the verifier's sake: what is in one has no history, so that what follows is not walked once
   for every way that led there. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct frame);
} frames SEC(".maps");

static __always_inline const struct vip *vip4(const void *address)
{
	return bpf_map_lookup_elem(&vips4, address);
}

static __always_inline const struct vip *vip6(const void *address)
{
	return bpf_map_lookup_elem(&vips6, address);
}

static __always_inline const struct nic *nic_of(struct __sk_buff *skb)
{
	__u32 index = skb->ifindex;

	return bpf_map_lookup_elem(&nics, &index);
}

static __always_inline void copy6(__u8 *to, const __u8 *from)
{
	__builtin_memcpy(to, from, 6);
}

static __always_inline int same16(const void *a, const void *b)
{
	__u64 x[2], y[2];

	__builtin_memcpy(x, a, 16);
	__builtin_memcpy(y, b, 16);
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

/* Makes the first `bytes` directly readable if the frame has them; large frames of some drivers start elsewhere. */
static __always_inline void pull(struct __sk_buff *skb, __u32 bytes)
{
	if ((__u64)skb->data_end - (__u64)skb->data < bytes && (__u64)skb->data_end - (__u64)skb->data < skb->len)
		bpf_skb_pull_data(skb, skb->len < bytes ? skb->len : bytes);
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xFFFF) + (sum >> 16 & 0xFFFF) + (sum >> 32);
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	return sum;
}

/* Would a router drop the packet for its hops? */
static __always_inline int is_last_hop(void *data, void *end, __u8 is6)
{
	__u8 *hops = data + ETH_BYTES + (is6 ? 7 : 8);

	KEEP(hops);
	return (void *)(hops + 1) <= end && *hops <= 1;
}

struct ports {
	__be16 source;
	__be16 dest;
};

static __always_inline void set_ports(struct frame *f, const struct ports *p)
{
	f->ports = 1;
	if (f->is6) {
		f->tuple.ipv6.sport = p->source;
		f->tuple.ipv6.dport = p->dest;
	} else {
		f->tuple.ipv4.sport = p->source;
		f->tuple.ipv4.dport = p->dest;
	}
}

/* The head of a TCP segment, for its ports and flags. */
static __always_inline void parse_tcp(struct __sk_buff *skb, struct frame *f)
{
	struct { __u8 bytes[14]; } head;
	struct ports p;

	if (bpf_skb_load_bytes(skb, f->at, &head, sizeof(head)) < 0)
		return;
	__builtin_memcpy(&p, &head, sizeof(p));
	f->tcp = 1;
	f->flags = head.bytes[13];
	f->syn = (f->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	f->ack_only = (f->flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) == TCP_ACK;
	set_ports(f, &p);
}

static __always_inline void parse_udp(struct __sk_buff *skb, struct frame *f)
{
	struct ports p;

	if (bpf_skb_load_bytes(skb, f->at, &p, sizeof(p)) == 0)
		set_ports(f, &p);
}

static __always_inline int is_extension(__u8 proto)
{
	return proto == PROTO_HOP_BY_HOP || proto == PROTO_ROUTING || proto == PROTO_OPTIONS ||
	       proto == PROTO_AUTHENTICATION || proto == PROTO_FRAGMENT;
}

/* Follows the extension headers to the transport header, or to where it would be in a later fragment. */
static __noinline int skip_extensions(struct __sk_buff *skb, struct frame *f)
{
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		struct {
			__u8 next;
			__u8 length;
			__be16 offset; /* of a fragment; its lowest bit says that more follow */
			__be32 id;
		} head;

		if (f->fragment == FRAGMENT_LATER || !is_extension(f->proto))
			break;
		if (bpf_skb_load_bytes(skb, f->at, &head, sizeof(head)) < 0)
			break;
		if (f->proto == PROTO_FRAGMENT) {
			f->at += 8;
			f->id = head.id;
			if (head.offset & bpf_htons(0xFFF8))
				f->fragment = FRAGMENT_LATER;
			else if (head.offset & bpf_htons(1))
				f->fragment = FRAGMENT_FIRST;
		} else {
			f->at += f->proto == PROTO_AUTHENTICATION ? (head.length + 2) * 4 : (head.length + 1) * 8;
		}
		f->proto = head.next;
	}
	return 0;
}

/* The packet that an ICMP error quotes, turned round: `f` is then about the other end's packet of that connection. */
static __always_inline void set_quote(struct __sk_buff *skb, struct frame *f, __u32 icmp)
{
	int later = f->fragment == FRAGMENT_LATER;
	struct ports p;

	f->fragment = 0;
	if (later || (f->proto != PROTO_TCP && f->proto != PROTO_UDP) ||
	    bpf_skb_load_bytes(skb, f->at, &p, sizeof(p)) < 0)
		return;
	f->quote = icmp;
	f->tcp = f->proto == PROTO_TCP;
	if (f->is6) {
		f->tuple.ipv6.sport = p.dest;
		f->tuple.ipv6.dport = p.source;
	} else {
		f->tuple.ipv4.sport = p.dest;
		f->tuple.ipv4.dport = p.source;
	}
}

/* An ICMP error belongs to the connection of the packet it quotes, which its destination sent. A quote of another
   source belongs to nobody. */
static __always_inline void parse_quote4(struct __sk_buff *skb, struct frame *f)
{
	struct iphdr quoted;
	__u32 icmp = f->at;
	__u8 type;

	if (bpf_skb_load_bytes(skb, icmp, &type, 1) < 0 || !(type == 3 || type == 11 || type == 12))
		return;
	if (bpf_skb_load_bytes(skb, icmp + ICMP_BYTES, &quoted, sizeof(quoted)) < 0)
		return;
	if (quoted.version != 4 || quoted.ihl < 5 || quoted.saddr != f->tuple.ipv4.daddr ||
	    quoted.frag_off & bpf_htons(IP4_OFFSET))
		return;
	f->at = icmp + ICMP_BYTES + quoted.ihl * 4;
	f->proto = quoted.protocol;
	f->tuple.ipv4.saddr = quoted.daddr;
	set_quote(skb, f, icmp);
}

static __always_inline void parse_quote6(struct __sk_buff *skb, struct frame *f)
{
	struct ipv6hdr quoted;
	__u32 icmp = f->at;
	__u8 type;

	if (bpf_skb_load_bytes(skb, icmp, &type, 1) < 0 || type < 1 || type > 4)
		return;
	if (bpf_skb_load_bytes(skb, icmp + ICMP_BYTES, &quoted, sizeof(quoted)) < 0)
		return;
	if (quoted.version != 6 || !same16(&quoted.saddr, f->tuple.ipv6.daddr))
		return;
	f->at = icmp + ICMP_BYTES + IP6_BYTES;
	f->proto = quoted.nexthdr;
	__builtin_memcpy(f->tuple.ipv6.saddr, &quoted.daddr, 16);
	if (is_extension(f->proto))
		skip_extensions(skb, f);
	set_quote(skb, f, icmp);
}

static __always_inline void parse_transport(struct __sk_buff *skb, struct frame *f)
{
	if (f->fragment == FRAGMENT_LATER)
		return;
	if (f->proto == PROTO_TCP)
		parse_tcp(skb, f);
	else if (f->proto == PROTO_UDP)
		parse_udp(skb, f);
	else if (f->fragment)
		return;
	else if (!f->is6 && f->proto == PROTO_ICMP)
		parse_quote4(skb, f);
	else if (f->is6 && f->proto == PROTO_ICMP6)
		parse_quote6(skb, f);
}

static __always_inline void find_vip(struct frame *f, const struct vip *vip)
{
	f->to_vip = vip != 0;
	if (vip)
		f->vip = *vip;
}

/* True if it is an IP frame; `f` is then filled but for the transport. */
static __always_inline int parse_ip4(struct __sk_buff *skb, struct frame *f)
{
	void *data, *end;
	struct iphdr *ip;

	pull(skb, HEAD_BYTES);
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	ip = data + ETH_BYTES;
	if (data + ETH_BYTES + IP4_BYTES > end)
		return 0;
	if (ip->version != 4 || ip->ihl < 5)
		return 0;
	find_vip(f, vip4(&ip->daddr));
	copy6(f->source_mac, data + 6);
	f->is6 = 0;
	f->proto = ip->protocol;
	f->at = ETH_BYTES + ip->ihl * 4;
	if (ip->frag_off & bpf_htons(IP4_FRAGMENT)) {
		f->fragment = ip->frag_off & bpf_htons(IP4_OFFSET) ? FRAGMENT_LATER : FRAGMENT_FIRST;
		f->id = ip->id;
	}
	f->tuple.ipv4.saddr = ip->saddr;
	f->tuple.ipv4.daddr = ip->daddr;
	return 1;
}

static __always_inline int parse_ip6(struct __sk_buff *skb, struct frame *f)
{
	void *data, *end;
	struct ipv6hdr *ip;

	pull(skb, HEAD_BYTES);
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	ip = data + ETH_BYTES;
	if (data + ETH_BYTES + IP6_BYTES > end)
		return 0;
	if (ip->version != 6)
		return 0;
	find_vip(f, vip6(&ip->daddr));
	copy6(f->source_mac, data + 6);
	f->is6 = 1;
	f->proto = ip->nexthdr;
	f->at = ETH_BYTES + IP6_BYTES;
	__builtin_memcpy(f->tuple.ipv6.saddr, &ip->saddr, 16);
	__builtin_memcpy(f->tuple.ipv6.daddr, &ip->daddr, 16);
	if (is_extension(f->proto))
		skip_extensions(skb, f);
	return 1;
}

#endif
