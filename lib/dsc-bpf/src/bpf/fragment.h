/* Fragments of datagrams of services: only the first has the ports. They are kept for a moment, so that those behind it go
   the same way. One that comes before the first is lost, and with it the datagram, as on any way that loses a piece. */
#ifndef DSC_FRAGMENT_H
#define DSC_FRAGMENT_H

#include "clock.h"
#include "service.h"

static __always_inline void pieces_of(const struct frame *f, struct pieces *pieces)
{
	__builtin_memset(pieces, 0, sizeof(*pieces));
	if (f->is6) {
		__builtin_memcpy(pieces->source, f->tuple.ipv6.saddr, 16);
		__builtin_memcpy(pieces->dest, f->tuple.ipv6.daddr, 16);
	} else {
		__builtin_memcpy(pieces->source, &f->tuple.ipv4.saddr, 4);
		__builtin_memcpy(pieces->dest, &f->tuple.ipv4.daddr, 4);
	}
	pieces->id = f->id;
	pieces->protocol = f->proto;
	pieces->six = f->is6;
}

/* Keeps the ports of a first fragment, or gives a later one those of its first. */
static __noinline int join_fragment(struct frame *f)
{
	__u32 zero = 0;
	struct desk *desk = bpf_map_lookup_elem(&desks, &zero);
	__u32 now = TICK(about_now());
	struct first_piece *known, first = { .seen = now };
	struct ports ports;

	if (!desk || !f)
		return 0;
	pieces_of(f, &desk->pieces);
	if (f->fragment == FRAGMENT_FIRST) {
		if (!f->ports)
			return 0;
		first.source_port = f->is6 ? f->tuple.ipv6.sport : f->tuple.ipv4.sport;
		first.dest_port = f->is6 ? f->tuple.ipv6.dport : f->tuple.ipv4.dport;
		bpf_map_update_elem(&fragments, &desk->pieces, &first, BPF_ANY);
		return 0;
	}
	known = bpf_map_lookup_elem(&fragments, &desk->pieces);
	if (!known || now - known->seen > FRAGMENT_TICKS)
		return 0;
	ports.source = known->source_port;
	ports.dest = known->dest_port;
	set_ports(f, &ports);
	return 0;
}

/* Is the fragment for a nat service, as far as can be known? It has ports then, unless it is lost. */
static __noinline int fragment_of_service(struct frame *f)
{
	struct service_key key = { .port = PORT_ANY };

	if (!f)
		return 0;
	key.vip = f->vip.index;
	key.protocol = f->proto;
	if (!bpf_map_lookup_elem(&services, &key))
		return 0;
	join_fragment(f);
	return !f->ports || has_service(f);
}

/* Is the fragment from a machine that is a backend for its protocol? */
static __noinline int fragment_of_end(struct frame *f)
{
	struct end end = { .port = PORT_ANY };

	if (!f)
		return 0;
	if (f->is6)
		__builtin_memcpy(end.address, f->tuple.ipv6.saddr, 16);
	else
		__builtin_memcpy(end.address, &f->tuple.ipv4.saddr, 4);
	end.protocol = f->proto;
	end.six = f->is6;
	if (!bpf_map_lookup_elem(&ends, &end))
		return 0;
	join_fragment(f);
	return 1;
}

#endif
