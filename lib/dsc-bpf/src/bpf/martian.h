/* Sources that no client has (RFC 1812 5.3.7, RFC 4291 2.5 and 2.7), and our own VIPs: a flow between two of them could
   only be made up. */
#ifndef DSC_MARTIAN_H
#define DSC_MARTIAN_H

#include "parse.h"

/* "This network", loopback, multicast, reserved, broadcast. */
static __always_inline int is_martian4(__be32 address)
{
	__u8 first = bpf_ntohl(address) >> 24;

	return first == 0 || first == 127 || first >= 224 || vip4(&address);
}

/* Unspecified, loopback and IPv4 in IPv6, all below ::1:0:0:0; multicast. */
static __always_inline int is_martian6(const void *address)
{
	__u8 bytes[16];
	__u64 high;
	__u32 middle;

	__builtin_memcpy(bytes, address, 16);
	__builtin_memcpy(&high, bytes, 8);
	__builtin_memcpy(&middle, bytes + 8, 4);
	if (bytes[0] == 0xFF || (!high && !(middle & bpf_htonl(0xFFFF0000))))
		return 1;
	return vip6(bytes) != 0;
}

static __always_inline int is_martian(const struct frame *f)
{
	return f->is6 ? is_martian6(f->tuple.ipv6.saddr) : is_martian4(f->tuple.ipv4.saddr);
}

#endif
