// Package egress keeps builds from everything but the internet: a packet filter on the machine of a container engine that
// refuses what comes from the builds' network and goes to a private, link-local or otherwise special address, or to the machine
// itself. So a PKGBUILD reaches no Redis, no metadata service of a cloud, no neighbour. Excepted are name
// servers (port 53 anywhere: which server a build asks differs with the engine, its version and systemd-resolved, and a build that
// cannot resolve names is no build), and what the operator allows: a mirror in the same network, for example.
//
// The builder may itself live in a container without rights on the network of its host. So the filter is set by a container of
// its own (package container starts it): on the network of the host, with CAP_NET_ADMIN and nothing else, running
// this program once. It needs nothing of the image: rules go to the kernel's nf_tables over netlink.
package egress

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// EnvName is the environment variable that makes MaybeRun take over a process; its value is a Filter as JSON.
const EnvName = "CAUR_EGRESS_FILTER"

// TableName is the table of nf_tables (family ip) that holds the filter.
const TableName = "caur_egress"

// Filter is what to set up. All prefixes are IPv4: the builds' network has nothing else.
type Filter struct {
	From  []netip.Prefix `json:"from"`            // the networks of builds
	Allow []netip.Prefix `json:"allow,omitempty"` // may be reached in spite of all
}

// special are the addresses that are not the internet (RFC 6890 and IANA's registry of special-purpose addresses).
var special = [...]string{
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16",
	"198.18.0.0/15", "224.0.0.0/3",
}

// MaybeRun does nothing in a process that package container did not start for it. Otherwise it sets the filter and exits.
func MaybeRun() {
	text := os.Getenv(EnvName)
	if text == "" || os.Getpid() != 1 {
		return
	}
	var f Filter
	err := json.Unmarshal([]byte(text), &f)
	if err == nil {
		err = f.Set()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Set replaces the filter in this network namespace, in one step.
func (f Filter) Set() error {
	if err := f.check(); err != nil {
		return err
	}
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("talk to nf_tables: %w", err)
	}
	defer func() { _ = conn.CloseLasting() }()
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: TableName}
	conn.AddTable(table) // or deleting it would fail
	conn.DelTable(table)
	conn.AddTable(table)
	rules{conn: conn, table: table}.write(f)
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("set the packet filter (nf_tables and CAP_NET_ADMIN are needed): %w", err)
	}
	return nil
}

func (f Filter) check() error {
	if len(f.From) == 0 {
		return errors.New("no network to filter")
	}
	for _, p := range append(f.From[:len(f.From):len(f.From)], f.Allow...) {
		if !p.IsValid() || !p.Addr().Is4() {
			return fmt.Errorf("%s is no IPv4 network", p)
		}
	}
	return nil
}

// rules adds rules to the two chains: what the machine passes on, and what it takes for itself.
type rules struct {
	conn  *nftables.Conn
	table *nftables.Table
}

func (r rules) write(f Filter) {
	before := nftables.ChainPriorityRef(*nftables.ChainPriorityFilter - 10) // the engine's own chains accept what they know
	forward := r.conn.AddChain(&nftables.Chain{Name: "forward", Table: r.table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: before})
	input := r.conn.AddChain(&nftables.Chain{Name: "input", Table: r.table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: before})
	for _, from := range f.From {
		for _, chain := range []*nftables.Chain{forward, input} {
			r.add(chain, source(from), port(unix.IPPROTO_UDP, 53), accept())
			r.add(chain, source(from), port(unix.IPPROTO_TCP, 53), accept())
			for _, to := range f.Allow {
				r.add(chain, source(from), destination(to), accept())
			}
		}
		for _, text := range special {
			r.add(forward, source(from), destination(netip.MustParsePrefix(text)), reject())
		}
		r.add(input, source(from), reject())
	}
}

func (r rules) add(chain *nftables.Chain, parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	r.conn.AddRule(&nftables.Rule{Table: r.table, Chain: chain, Exprs: all})
}

// Offsets of the addresses in a header of IPv4 (RFC 791).
const (
	offsetSource      = 12
	offsetDestination = 16
)

func source(p netip.Prefix) []expr.Any      { return address(offsetSource, p) }
func destination(p netip.Prefix) []expr.Any { return address(offsetDestination, p) }

func address(offset uint32, p netip.Prefix) []expr.Any {
	network := p.Masked().Addr().As4()
	mask := ^uint32(0)
	if p.Bits() < 32 {
		mask = ^(^uint32(0) >> p.Bits())
	}
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.BigEndian.PutUint32(mask), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: network[:]},
	}
}

func port(protocol byte, number uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(number)},
	}
}

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }

// reject answers at once that it is prohibited: a build that tries should fail, not wait.
func reject() []expr.Any {
	const prohibited = 13 // ICMP_PKT_FILTERED
	return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: prohibited}}
}
