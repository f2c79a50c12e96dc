/* What can become of a frame: one name, one counter. build.rs reads the same lists for the loader.
   The order within and of the lists is the order of the counters. */
#ifndef DSC_VERDICTS_H
#define DSC_VERDICTS_H

/* The frame goes on to the stack (or, at egress, out). */
#define VERDICTS_PASS(X) \
	X(other)                /* not for or about a VIP */ \
	X(delivered)            /* to a VIP that is hosted here */ \
	X(delivered_socket)     /* to a VIP hosted elsewhere: its connection ends here (B.2) */ \
	X(delivered_steered)    /* another member handed it to the host */ \
	X(refused)              /* its connection ends nowhere: the stack sends the RST */ \
	X(nat_refused)          /* no backend takes it: the stack says so to the client */ \
	X(nat_direct)           /* from a backend to somebody who speaks to it directly */ \
	X(source_unknown)       /* from inside, of no flow, and none that begins a connection: of one to its own address */ \
	X(egress_request_mended) /* sender of an ARP request or solicitation made the NIC's own */

/* The frame ends here. */
#define VERDICTS_DROP(X) \
	X(silent_off)           /* asks for the MAC of a VIP that is not hosted here */ \
	X(silent_lease)         /* asks for the MAC of a VIP, but the lease is over */ \
	X(silent_elsewhere)     /* asks for the MAC of another subnet's VIP */ \
	X(silent_malformed)     /* asks for the MAC of a VIP in a wrong way */ \
	X(claim_member)         /* another member says that it hosts a VIP */ \
	X(claim_conflict)       /* a machine outside the cluster says that it has a VIP */ \
	X(claim_conflict_lost)  /* the same, but nobody was told: too many at once */ \
	X(dropped_off)          /* to a VIP that is not hosted here */ \
	X(dropped_lease)        /* to a VIP that is hosted here, but the lease is over */ \
	X(dropped_stray)        /* handed here by a member, or come by an interface, for no reason known here */ \
	X(dropped_hops)         /* handed on too often */ \
	X(dropped_no_mac)       /* to be steered to a node whose MAC is not known */ \
	X(dropped_failed)       /* the kernel refused to change or send it */ \
	X(nat_full)             /* a new flow, but the table is full */ \
	X(nat_clash)            /* a new flow, but every backend tried has one from the client's address and port */ \
	X(nat_hops)             /* its hops are used up, and it is none that may be told of */ \
	X(nat_stray)            /* an RST of a flow that is not known */ \
	X(nat_martian)          /* a new flow, but no client can have its source */ \
	X(nat_no_way)           /* no interface on the subnet where it should leave */ \
	X(nat_too_big_lost)     /* does not fit where it should leave, and is none that may be told of */ \
	X(nat_fragment_lost)    /* a fragment for or from a backend, but the datagram's first was not seen or has no ports */ \
	X(nat_unknown)          /* from a backend, of no flow: the client would reset a connection that may be one */ \
	X(nat_held)             /* a reply that came before its flow: kept for a moment */ \
	X(nat_held_lost)        /* the same, but too many or too long to keep */ \
	X(source_lease)         /* a connection from inside, but the lease is over */ \
	X(source_early)         /* a connection from inside, but it is not known yet which there are */ \
	X(source_full)          /* a connection from inside, but every port tried is taken */ \
	X(egress_claim)         /* the OS said that it has a VIP that is not hosted here */

/* The frame leaves by the interface it came from. */
#define VERDICTS_SEND(X) \
	X(answered_arp)         /* made into an ARP reply */ \
	X(answered_nd)          /* made into a neighbour advertisement */ \
	X(steered)              /* to the member that hosts the VIP */ \
	X(steered_past)         /* to an earlier host, which may have the connection, or wait for it */ \
	X(nat_steered)          /* from a backend, to the member that hosts the flow's VIP (B.7) */ \
	X(source_asked)         /* to the member whose port it is for: its flow is not known here */

/* The frame is rewritten and leaves by the interface of its destination's subnet. */
#define VERDICTS_ROUTE(X) \
	X(nat_too_big)          /* made into an ICMP error to its sender: it does not fit where it should leave */ \
	X(nat_time_exceeded)    /* made into an ICMP error to its sender: its hops are used up */ \
	X(nat_new)              /* first packet of a flow, to a backend */ \
	X(nat_adopted)          /* of a flow that is not known but began before: to the backend it must have had */ \
	X(nat_request)          /* to a backend */ \
	X(nat_reply)            /* from a backend to the client */ \
	X(nat_error_request)    /* an ICMP error about a reply, to the backend that sent it */ \
	X(nat_error_reply)      /* an ICMP error about a request, to the client that sent it */ \
	X(source_new)           /* first packet of a connection from inside, as from a VIP */ \
	X(source_out)           /* from inside, as from a VIP */ \
	X(source_in)            /* from outside, to the machine inside */

#define VERDICT_NAME(name) V_##name,
enum verdict {
	VERDICTS_PASS(VERDICT_NAME)
	VERDICTS_DROP(VERDICT_NAME)
	VERDICTS_SEND(VERDICT_NAME)
	VERDICTS_ROUTE(VERDICT_NAME)
	VERDICTS
};

/* No verdict: the next step of the walk decides. */
#define UNDECIDED VERDICTS

/* The first of each list. */
#define FIRST_DROP V_silent_off
#define FIRST_SEND V_answered_arp
#define FIRST_ROUTE V_nat_too_big
#define FIRST_SERVED V_nat_new /* of those that reach somebody */

#endif
