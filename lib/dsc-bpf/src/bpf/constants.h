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
#define SERVICES_MAX 128
#define BACKENDS_MAX 1024
/* VIPs and ports of all services together. */
#define SERVICE_ENDS_MAX 16384
/* Besides, one entry for each VIP and protocol, and for each address of backends: see PORT_ANY. */
#define SERVICE_KEYS_MAX (SERVICE_ENDS_MAX + 2 * VIPS_MAX)
#define END_KEYS_MAX (2 * BACKENDS_MAX)
#define SOURCES_MAX 16
#define SOURCE_VIPS_MAX 16
/* Networks of subnets, those inside that source NAT is for, addresses of nodes. */
#define ZONES_MAX 1024
/* Ports that are tried for a connection from inside: one fails in a thousand with four of five ports taken. */
#define PORTS_TRIED 32
/* What an insertion says of a key that is there. */
#define EEXIST 17
/* Slots of a service's table; asserted against dsc_flow::MAGLEV_SIZE by dsc-fwd. A prime, so that every step walks all. */
#define MAGLEV_SIZE 16381
#define MAGLEV_ROOM 16384 /* so many are in the map */
#define MAGLEV_EMPTY 0xFFFF
/* Both directions of every flow; the loader sets the real number. */
#define FLOWS_MAX 2048
/* Flows that wait to be read; more are counted and found by the next sweep. A power of two, whole pages. */
#define NEWS_BYTES (1 << 20)
/* Replies that wait for their flow, with their frames. */
#define HELD_BYTES (1 << 18)
/* The longest reply that is kept for its flow: a SYN-ACK with all its options, a small datagram. */
#define HELD_FRAME 256
/* Slots that are tried when a backend already has a connection from the client's port. */
#define CLASHES_MAX 24
/* Datagrams whose later fragments may still come; the oldest go first. */
#define FRAGMENTS_MAX 4096
/* How long they may take, in the unit of TICK(). */
#define FRAGMENT_TICKS 4
/* Ways out that each processor remembers for a tick. */
#define HOPS_KEPT 256
/* Claims that wait to be read; more are counted and forgotten. A power of two, whole pages. */
#define CLAIMS_BYTES 4096

/* Where things are in a frame. */
#define ETH_BYTES 14
#define IP4_BYTES 20
#define IP6_BYTES 40
#define TCP_BYTES 20
#define UDP_BYTES 8
#define TCP_CHECKSUM 16
#define UDP_CHECKSUM 6
#define ICMP_CHECKSUM 2
#define IP4_CHECKSUM 10
/* No transport header begins later: the longest IPv4 header, or IPv6 with the extensions that are followed. */
#define AT_MAX 255
#define ND_BYTES 24
#define ICMP_BYTES 8
/* Errors that say that something is not reached, and the code of the one that is about a size. */
#define ICMP_UNREACHABLE 3
#define ICMP_TOO_BIG 4
#define ICMP6_UNREACHABLE 1
/* Every interface takes as much (RFC 791, RFC 8200). */
#define MTU4_LEAST 68
#define MTU6_LEAST 1280
/* The most that an error quotes: no longer packet than every host takes comes of it (RFC 1812 4.3.2.3, RFC 4443 2.4). */
#define QUOTE4_BYTES 512
#define QUOTE6_BYTES (MTU6_LEAST - IP6_BYTES - ICMP_BYTES)
/* So much is summed at once; the most that the kernel allows. */
#define QUOTE_PART 512
/* TTL of packets that are made here. */
#define HOPS 64
/* As much of a frame as the fast path looks at: Ethernet, IPv6, TCP. */
#define HEAD_BYTES (ETH_BYTES + IP6_BYTES + TCP_BYTES)

/* Where in skb->cb the walk leaves the interface for frames that are routed. */
#define CB_DOOR 0
/* And that one's MTU, if a frame is too big for it, or 0 if it has no hop left. */
#define CB_MTU 1
/* Set if it is known that no flow has the frame's ends. */
#define CB_NO_FLOW 2

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
#define PROTO_UDP 17
#define PROTO_ROUTING 43
#define PROTO_FRAGMENT 44
#define PROTO_AUTHENTICATION 51
#define PROTO_ICMP6 58
#define PROTO_OPTIONS 60
/* Extension headers that are followed; a frame with more belongs to no connection. */
#define EXTENSIONS_MAX 6

/* Flags of a TCP segment. */
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define IP4_FRAGMENT 0x3FFF /* more fragments, or an offset */
#define IP4_OFFSET 0x1FFF

/* The fragment that has the ports, and all others. */
#define FRAGMENT_FIRST 1
#define FRAGMENT_LATER 2

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

/* Kinds of a service; asserted against service.rs. */
#define SERVICE_LOCAL 0
#define SERVICE_NAT 1
/* Under PORT_ANY: some service of this VIP and protocol is SERVICE_NAT. */
#define SERVICE_SOME 2

/* In a key: for what has no ports, a later fragment. No service or backend has this port. */
#define PORT_ANY 0

/* States of a backend. */
#define BACKEND_ENABLED 0
#define BACKEND_DRAINING 1
#define BACKEND_DISABLED 2

/* Instead of a backend's number, in a flow that has none. */
#define BACKEND_NONE 0xFFFF

/* Instead of the number of a source NAT. */
#define SOURCE_NONE 0xFF
/* Flags of a zone. */
#define ZONE_NODE 1

/* The two entries of a flow, and what is none. */
#define WAY_REQUEST 0
#define WAY_REPLY 1
/* From a backend to somebody who speaks to it directly; it has no other entry. */
#define WAY_DIRECT 2

/* What was seen of a flow, in the entry of the direction it was seen in; asserted against flows.rs. */
#define MARK_OPEN 1  /* both ends have spoken */
#define MARK_FIN 2   /* this end has closed */
#define MARK_RESET 4 /* either end has reset it */
#define MARK_JUDGED 8 /* in a reply's: the backend has answered, or somebody inside has refused it; the programs' own */

/* How far a flow has come; asserted against flows.rs. */
#define STATE_OPENING 0
#define STATE_OPEN 1
#define STATE_CLIENT_CLOSED 2
#define STATE_SERVER_CLOSED 3
#define STATE_CLOSED 4

/* Flows of peers that are brought in at once. */
#define PUTS_MAX 64
/* What is to be done with one of them, and what became of it; asserted against puts.rs. */
#define PUT_NOTHING 0
#define PUT_ASKED 1
#define PUT_NEW 2
#define PUT_KNOWN 3
#define PUT_CLASH 4
#define PUT_FULL 5

/* Flags of an interface. */
#define NIC_ROUTER 1

/* The verifier knows the bounds of one value, not of another that the compiler makes from the same sources. */
#define KEEP(value) asm volatile("" : "+r"(value))
/* Nor that a value of two loads, which the compiler joins, is a pointer to the packet. */
#define READ_AGAIN() asm volatile("" : : : "memory")

#endif
