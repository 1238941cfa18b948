package wsgate

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/registry"
)

const (
	metricsNamespace = "caddy"
	metricsSubsystem = "wsgate"
)

// The collectors are process-wide, so that their values outlive a
// configuration; each configuration registers them in its own registry.
// Labels are few and bounded: never a path, an address of a client, a user.
var (
	changesTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "gate_changes_total",
		Help: "Times a gate opened or closed.",
	}, []string{"gate", "to", "cause"})

	handshakesTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "handshakes_total",
		Help: "Opening handshakes by outcome.",
	}, []string{"gate", "outcome"})

	handshakeSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "handshake_duration_seconds",
		Help:    "Time from the client's handshake to the answer, of handshakes that reached an upstream.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15},
	}, []string{"gate"})

	tunnelSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "tunnel_duration_seconds",
		Help:    "How long tunnels were open.",
		Buckets: []float64{1, 10, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600},
	}, []string{"gate"})

	closedTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "tunnels_closed_total",
		Help: "Tunnels that ended, by who ended them and the close code.",
	}, []string{"gate", "closed_by", "code"})

	collectors = []prometheus.Collector{
		changesTotal, handshakesTotal, handshakeSeconds, tunnelSeconds, closedTotal, stateCollector{},
	}
)

// stateCollector reads what the registry knows when somebody asks.
type stateCollector struct{}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(metricsNamespace, metricsSubsystem, name), help, labels, nil)
}

var (
	openDesc     = desc("gate_open", "Whether the gate is open (1) or closed (0).", "gate")
	nextDesc     = desc("gate_next_change_timestamp_seconds", "When the gate's state can change next; absent where unknown.", "gate")
	tunnelsDesc  = desc("tunnels", "Open tunnels.", "gate", "upstream")
	bytesDesc    = desc("bytes_total", "Bytes forwarded after the handshake.", "gate", "direction")
	messagesDesc = desc("messages_total", "WebSocket messages forwarded.", "gate", "direction")
	drainDesc    = desc("drain_remaining_tunnels", "Tunnels that were told to end and are still open.", "gate")
)

// Describe implements prometheus.Collector.
func (stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{openDesc, nextDesc, tunnelsDesc, bytesDesc, messagesDesc, drainDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (stateCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for _, s := range registry.Statuses(time.Now()) {
		open := 0.0
		if s.State == gate.Open {
			open = 1
		}
		if !s.Removed { // nobody has to be called for a gate that is gone
			gauge(openDesc, open, s.Name)
		}
		if !s.Until.IsZero() {
			gauge(nextDesc, float64(s.Until.UnixMilli())/1e3, s.Name)
		}
		for label, n := range s.Upstreams {
			gauge(tunnelsDesc, float64(n), s.Name, label)
		}
		gauge(drainDesc, float64(s.Draining), s.Name)
		count(bytesDesc, s.Totals.BytesUp, s.Name, "up")
		count(bytesDesc, s.Totals.BytesDown, s.Name, "down")
		count(messagesDesc, s.Totals.MessagesUp, s.Name, "up")
		count(messagesDesc, s.Totals.MessagesDown, s.Name, "down")
	}
}

// codeLabel bounds the close codes: 1000 to 1015 by number, the registered and
// private ones by their thousand, anything else is none.
func codeLabel(code uint16) string {
	switch {
	case code >= 1000 && code <= 1015:
		return strconv.Itoa(int(code))
	case code >= 3000 && code <= 3999:
		return "3xxx"
	case code >= 4000 && code <= 4999:
		return "4xxx"
	}
	return "none"
}
