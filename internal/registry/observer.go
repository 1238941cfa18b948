package registry

import (
	"net/netip"
	"sync/atomic"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/tunnel"
)

// Observer is told what happens. Calls come from any goroutine.
type Observer interface {
	// GateChanged comes in the order of the changes: the gate does not change
	// meanwhile, and must not be asked to.
	GateChanged(Change)
	TunnelOpened(TunnelInfo)
	TunnelClosed(TunnelInfo, tunnel.Result)
}

// Change is a gate that opened or closed.
type Change struct {
	Gate     string
	Snapshot *gate.Snapshot
	// Actor and From say who threw the switch that did it, to auto as well. Empty:
	// nobody did, or nobody said who.
	Actor, From string
}

// TunnelInfo says which tunnel it is.
type TunnelInfo struct {
	ID       TunnelID
	Gate     string
	ClientIP netip.Addr
	Upstream string
}

// current is the observer in force.
var current atomic.Pointer[Observer]

// SetObserver names who is told what happens, in place of the one before.
func SetObserver(o Observer) { current.Store(&o) }

func observer() Observer {
	if o := current.Load(); o != nil {
		return *o
	}
	return deaf{}
}

// deaf is an observer that hears nothing.
type deaf struct{}

func (deaf) GateChanged(Change)                     {}
func (deaf) TunnelOpened(TunnelInfo)                {}
func (deaf) TunnelClosed(TunnelInfo, tunnel.Result) {}
