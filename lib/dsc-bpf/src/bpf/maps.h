/* The maps and what is in them. The same layouts are in layout.rs; both sides assert sizes and offsets. A change
   here needs a new LAYOUT in lib.rs. */
#ifndef DSC_MAPS_H
#define DSC_MAPS_H

#include "constants.h"
#include "verdicts.h"

#define AT(type, field, at) _Static_assert(__builtin_offsetof(struct type, field) == (at), #type "." #field)
/* Else the compiler moves its parts byte by byte, not knowing where it is. */
#define BY_WORDS __attribute__((aligned(8)))
#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type)

/* One word of `hosts`; written by dsc-ringd as a whole. */
struct host {
	__u8 state;          /* HOST_* */
	__u8 node;           /* whom to steer to */
	__u8 pasts;          /* how many of the next are valid */
	__u8 past[PAST_MAX]; /* earlier hosts, most recent first */
	__u8 unused;
};
SIZE(host, 8);
AT(host, node, 1);
AT(host, pasts, 2);
AT(host, past, 3);

/* A virtual address. */
struct vip {
	__u16 index; /* into `hosts` and `vip_counts` */
	__u8 subnet;
	__u8 unused;
};
SIZE(vip, 4);
AT(vip, subnet, 2);

/* An interface of this node with programs on it. */
struct nic {
	__u8 mac[6];
	__u8 subnet;
	__u8 flags;       /* NIC_* */
	__u8 address4[4]; /* its own address, or zero */
	__u8 address6[16];
};
SIZE(nic, 28);
AT(nic, subnet, 6);
AT(nic, flags, 7);
AT(nic, address4, 8);
AT(nic, address6, 12);

/* A MAC address as a key, and where a node is to be found on a subnet. */
struct mac {
	__u8 bytes[6];
	__u8 known; /* zero in a key */
	__u8 unused;
};
SIZE(mac, 8);
AT(mac, known, 6);

/* Frames for one VIP on one processor. */
struct vip_count {
	__u64 packets; /* delivered here */
	__u64 bytes;
	__u64 steered;
};
SIZE(vip_count, 24);
AT(vip_count, bytes, 8);
AT(vip_count, steered, 16);

/* A machine outside the cluster that says it has a VIP. */
struct claim {
	__u16 vip;
	__u8 mac[6];
};
SIZE(claim, 8);
AT(claim, mac, 2);

/* A service, found by VIP, port and protocol. */
struct service_key {
	__u16 vip; /* index */
	__be16 port;
	__u8 protocol;
	__u8 unused[3];
};
SIZE(service_key, 8);
AT(service_key, port, 2);
AT(service_key, protocol, 4);

struct service {
	__u16 index; /* into `maglev` */
	__u8 kind;   /* SERVICE_* */
	__u8 unused;
};
SIZE(service, 4);
AT(service, kind, 2);

/* A service's table: which backend a hash is for. */
struct slots {
	__u16 backend[MAGLEV_ROOM];
};
SIZE(slots, 2 * MAGLEV_ROOM);

/* Where a flow of a service may go. IPv4 addresses are in the first four bytes, here and below; the rest is zero. */
struct backend {
	__u8 address[16];
	__be16 port;
	__u8 subnet;
	__u8 state; /* BACKEND_* */
};
SIZE(backend, 20);
AT(backend, port, 16);
AT(backend, subnet, 18);
AT(backend, state, 19);

/* One end of a backend's flows: what comes from it and is of no flow may be ahead of it. */
struct end {
	__u8 address[16];
	__be16 port;
	__u8 protocol;
	__u8 six;
} __attribute__((aligned(4)));
SIZE(end, 20);
AT(end, port, 16);
AT(end, protocol, 18);
AT(end, six, 19);

/* One direction of a flow, as its packets arrive. */
struct flow_key {
	__u8 source[16];
	__u8 dest[16];
	__be16 source_port;
	__be16 dest_port;
	__u8 protocol;
	__u8 six;
	__u8 unused[2];
} BY_WORDS;
SIZE(flow_key, 40);
AT(flow_key, dest, 16);
AT(flow_key, source_port, 32);
AT(flow_key, dest_port, 34);
AT(flow_key, protocol, 36);
AT(flow_key, six, 37);

/* What becomes of its packets. A request's destination, a reply's source is replaced. */
struct flow {
	__u8 address[16];
	__be16 port;
	__u16 backend;
	__u8 way;    /* WAY_* */
	__u8 subnet; /* where the packet leaves */
	__u16 vip;   /* index */
	__u32 marks; /* MARK_* */
	__u32 seen;  /* when the last packet came: TICK() */
} BY_WORDS;
SIZE(flow, 32);
AT(flow, port, 16);
AT(flow, backend, 18);
AT(flow, way, 20);
AT(flow, subnet, 21);
AT(flow, vip, 22);
AT(flow, marks, 24);
AT(flow, seen, 28);

/* Addresses of which something is known, as the key of a trie. */
struct prefix4 {
	__u32 bits;
	__u8 address[4];
};
SIZE(prefix4, 8);

struct prefix6 {
	__u32 bits;
	__u8 address[16];
};
SIZE(prefix6, 20);

/* What is known of them. */
struct zone {
	__u8 subnet;
	__u8 source; /* the source NAT that their connections get; SOURCE_NONE */
	__u8 flags;  /* ZONE_* */
	__u8 unused;
};
SIZE(zone, 4);
AT(zone, source, 1);
AT(zone, flags, 2);

/* A source NAT: as whom connections from inside leave, and by which ports on this node. */
struct source {
	__u8 addresses[SOURCE_VIPS_MAX][16];
	__u16 first;
	__u16 ports;
	__u8 vips;
	__u8 subnet; /* of all its VIPs */
	__u8 waits;  /* it begins no flow yet */
	__u8 unused;
	__u16 indices[SOURCE_VIPS_MAX];
};
SIZE(source, 18 * SOURCE_VIPS_MAX + 8);
AT(source, first, 256);
AT(source, ports, 258);
AT(source, vips, 260);
AT(source, subnet, 261);
AT(source, waits, 262);
AT(source, indices, 264);

/* The ports of a VIP that are source NAT's: `slice` of them for each node, in the order of nodes. */
struct range {
	__u16 first;
	__u16 last;
	__u16 slice; /* 0: it has none */
	__u16 unused;
};
SIZE(range, 8);
AT(range, last, 2);
AT(range, slice, 4);

/* The unit of `seen`, a little more than a second. */
#define TICK(ns) ((__u32)((ns) >> 30))

/* A flow that was made here or has come further. */
struct news {
	struct flow_key key;
	struct flow flow;
	__u64 at; /* CLOCK_BOOTTIME */
};
SIZE(news, 80);
AT(news, at, 72);

/* A flow that a peer told of: as the table is to have it, and what has become of it. */
struct put {
	struct flow_key key;
	struct flow_key back;
	struct flow request;
	struct flow reply;
	__u8 state;  /* STATE_* */
	__u8 became; /* PUT_* */
	__u8 unused[6];
} BY_WORDS;
SIZE(put, 152);
AT(put, back, 40);
AT(put, request, 80);
AT(put, reply, 112);
AT(put, state, 144);
AT(put, became, 145);

/* A reply that came before its flow. */
struct held {
	__u32 nic;
	__u32 bytes;
	__u8 frame[HELD_FRAME];
};
SIZE(held, 8 + HELD_FRAME);

/* The fragments of one datagram; what all of them have. */
struct pieces {
	__u8 source[16];
	__u8 dest[16];
	__be32 id;
	__u8 protocol;
	__u8 six;
	__u8 unused[2];
};
SIZE(pieces, 40);
AT(pieces, id, 32);
AT(pieces, protocol, 36);

/* What the first of them had. */
struct first_piece {
	__be16 source_port;
	__be16 dest_port;
	__u32 seen; /* TICK() */
};
SIZE(first_piece, 8);
AT(first_piece, seen, 4);

/* Our interface on a subnet as a program in a driver sees it. */
struct gate {
	__u32 nic;   /* or 0 */
	__u8 mac[6];
	__u8 sends;  /* what another driver's program gives it */
	__u8 unused;
};
SIZE(gate, 12);
AT(gate, mac, 4);
AT(gate, sends, 10);

struct gates {
	struct gate of[SUBNETS_MAX];
};
SIZE(gates, 12 * SUBNETS_MAX);

/* Packets of one backend on one processor. */
struct backend_count {
	__u64 flows; /* begun here */
	__u64 request_packets;
	__u64 request_bytes;
	__u64 reply_packets;
	__u64 reply_bytes;
	__u64 opened; /* flows of which both ends were heard here */
	__u64 refused; /* flows to which the first answer was a reset, or that its address or port is not reached */
};
SIZE(backend_count, 56);

#define MAP(name, kind, key_type, value_type, count, map_bits) \
	struct { \
		__uint(type, kind); \
		__uint(max_entries, count); \
		__type(key, key_type); \
		__type(value, value_type); \
		__uint(map_flags, map_bits); \
		__uint(pinning, LIBBPF_PIN_BY_NAME); \
	} name SEC(".maps")

struct address4 { __u8 bytes[4]; };
struct address6 { __u8 bytes[16]; };

MAP(lease, BPF_MAP_TYPE_ARRAY, __u32, __u64, 1, BPF_F_MMAPABLE);
MAP(hosts, BPF_MAP_TYPE_ARRAY, __u32, __u64, VIPS_MAX, BPF_F_MMAPABLE);
MAP(vips4, BPF_MAP_TYPE_HASH, struct address4, struct vip, VIPS_MAX, 0);
MAP(vips6, BPF_MAP_TYPE_HASH, struct address6, struct vip, VIPS_MAX, 0);
MAP(nics, BPF_MAP_TYPE_HASH, __u32, struct nic, NICS_MAX, 0);
/* Every MAC address of the cluster, our own too, and the node that has it. */
MAP(members, BPF_MAP_TYPE_HASH, struct mac, __u32, MACS_MAX, 0);
/* Where to steer: index is node * SUBNETS_MAX + subnet. */
MAP(stations, BPF_MAP_TYPE_ARRAY, __u32, struct mac, MACS_MAX, 0);
MAP(verdicts, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, VERDICTS, 0);
MAP(vip_counts, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct vip_count, VIPS_MAX, 0);

MAP(services, BPF_MAP_TYPE_HASH, struct service_key, struct service, SERVICE_KEYS_MAX, 0);
MAP(maglev, BPF_MAP_TYPE_ARRAY, __u32, struct slots, SERVICES_MAX, 0);
MAP(backends, BPF_MAP_TYPE_ARRAY, __u32, struct backend, BACKENDS_MAX, 0);
MAP(ends, BPF_MAP_TYPE_HASH, struct end, __u32, END_KEYS_MAX, 0);
MAP(backend_counts, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct backend_count, BACKENDS_MAX, 0);
/* Our interface on each subnet. */
MAP(doors, BPF_MAP_TYPE_ARRAY, __u32, __u32, SUBNETS_MAX, 0);
/* One table, so that a program in a driver finds its own without a hash. */
MAP(gates, BPF_MAP_TYPE_ARRAY, __u32, struct gates, 1, 0);
MAP(flows, BPF_MAP_TYPE_HASH, struct flow_key, struct flow, FLOWS_MAX, 0);
MAP(zones4, BPF_MAP_TYPE_LPM_TRIE, struct prefix4, struct zone, ZONES_MAX, BPF_F_NO_PREALLOC);
MAP(zones6, BPF_MAP_TYPE_LPM_TRIE, struct prefix6, struct zone, ZONES_MAX, BPF_F_NO_PREALLOC);
MAP(sources, BPF_MAP_TYPE_ARRAY, __u32, struct source, SOURCES_MAX, 0);
/* By the index of the VIP. */
MAP(ranges, BPF_MAP_TYPE_ARRAY, __u32, struct range, VIPS_MAX, 0);
/* Promises nothing: what is pushed out costs one datagram. */
MAP(fragments, BPF_MAP_TYPE_LRU_HASH, struct pieces, struct first_piece, FRAGMENTS_MAX, 0);

#define RING(name, bytes) \
	struct { \
		__uint(type, BPF_MAP_TYPE_RINGBUF); \
		__uint(max_entries, bytes); \
		__uint(pinning, LIBBPF_PIN_BY_NAME); \
	} name SEC(".maps")

RING(claims, CLAIMS_BYTES);
RING(news, NEWS_BYTES);
/* 1 while dsc-fwd comes for the news by itself, so that no flow has to wake it up. */
MAP(polled, BPF_MAP_TYPE_ARRAY, __u32, __u32, 1, 0);
RING(held, HELD_BYTES);

/* Room for what is too large for the stack; only while one frame comes in, which nothing else on its processor interrupts. */
struct desk {
	struct flow_key key;
	struct flow_key back;
	struct flow_key stale;
	struct flow fresh;
	struct flow reply;
	struct pieces pieces;
	__u8 told_by[16]; /* ends of an ICMP error, side by side */
	__u8 told[16];
	__u8 quote[QUOTE_PART];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct desk);
} desks SEC(".maps");

/* Each daemon's own, and in its memory: see put.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PUTS_MAX);
	__type(key, __u32);
	__type(value, struct put);
	__uint(map_flags, BPF_F_MMAPABLE);
} puts SEC(".maps");

/* An address; the compiler would move bytes one by one. */
static __always_inline void copy16(__be32 *to, const __be32 *from)
{
#pragma unroll
	for (int i = 0; i < 4; i++)
		to[i] = from[i];
}

/* Which node this is; set by the loader. */
const volatile __u32 me = 0;
/* Do replies leave by the host of their flow's VIP? Set by the loader; a program without it does not have the code. */
const volatile __u32 symmetric = 0;

#endif
