/* Numbers of the protocols and of the maps. Included by every other drawer; holds no code. */
#ifndef DSC_CONSTANTS_H
#define DSC_CONSTANTS_H

/* The bounds of the configuration; asserted against dsc_wire::ids by layout.rs. */
#define NODES_MAX 64
#define SUBNETS_MAX 8
#define VIPS_MAX 1024
#define PAST_MAX 4
/* Every MAC address of the cluster: one per node and subnet. */
#define MACS_MAX (NODES_MAX * SUBNETS_MAX)
/* Interfaces with programs; more than one per subnet while an interface is being replaced. */
#define NICS_MAX 64
/* Claims that wait to be read; more are counted and forgotten. A power of two, whole pages. */
#define CLAIMS_BYTES 4096

/* Where things are in a frame. */
#define ETH_BYTES 14
#define IP4_BYTES 20
#define IP6_BYTES 40
#define TCP_BYTES 20
#define ND_BYTES 24
#define ICMP_BYTES 8
/* As much of a frame as the fast path looks at: Ethernet, IPv6, TCP. */
#define HEAD_BYTES (ETH_BYTES + IP6_BYTES + TCP_BYTES)

/* Answers of a program, the same on either hook. NEXT lets the programs behind this one, and then the stack, go on. */
#define NEXT (-1)
#define DROP 2

#define PACKET_HOST 0
#define PACKET_OTHERHOST 3

#define TYPE_ARP 0x0806
#define TYPE_IP4 0x0800
#define TYPE_IP6 0x86DD
#define VLAN_ID_MASK 0x0FFF

#define ARP_REQUEST 1
#define ARP_REPLY 2

#define PROTO_HOP_BY_HOP 0
#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_ROUTING 43
#define PROTO_AUTHENTICATION 51
#define PROTO_ICMP6 58
#define PROTO_OPTIONS 60
/* Extension headers that are followed; a frame with more, like a fragment, belongs to no connection. */
#define EXTENSIONS_MAX 6

#define IP4_FRAGMENT 0x3FFF /* more fragments, or an offset */

#define ND_SOLICIT 135
#define ND_ADVERTISE 136
#define ND_HOP_LIMIT 255
#define ND_OPTION_TARGET 2
#define ND_ROUTER 0x80
#define ND_SOLICITED 0x40
#define ND_OVERRIDE 0x20
/* Option bytes of a solicitation that are looked through for its checksum; real ones have 0 to 16. */
#define ND_OPTIONS_MAX 64

/* States of a VIP on this node; asserted against lease.rs. */
#define HOST_OFF 0
#define HOST_ON 1
#define HOST_INCOMING 2
#define HOST_STEER 3

/* Flags of an interface. */
#define NIC_ROUTER 1

#endif
