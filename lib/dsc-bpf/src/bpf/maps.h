/* The maps and what is in them. The same layouts are in layout.rs; both sides assert sizes and offsets. A change
   here needs a new LAYOUT in lib.rs. */
#ifndef DSC_MAPS_H
#define DSC_MAPS_H

#include "constants.h"
#include "verdicts.h"

#define AT(type, field, at) _Static_assert(__builtin_offsetof(struct type, field) == (at), #type "." #field)
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

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, CLAIMS_BYTES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} claims SEC(".maps");

/* Which node this is; set by the loader. */
const volatile __u32 me = 0;

#endif
