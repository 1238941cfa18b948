package wsgate

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/registry"
)

const (
	metricsNamespace = "caddy"
	metricsSubsystem = "wsgate"
)

func init() { caddy.RegisterModule(new(metricsAPI)) }

// collector reads the values from the registry at each scrape. So the values
// outlive a configuration, and a gate or an upstream that no longer exists has
// no series. The labels have few values: never a path, a client's address or a
// user.
type collector struct{}

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

var (
	changesDesc       = desc("gate_changes_total", "Times a gate opened or closed.", "gate", "to", "cause")
	handshakesDesc    = desc("handshakes_total", "Opening handshakes by outcome.", "gate", "outcome")
	handshakeTimeDesc = desc("handshake_duration_seconds", "Time from the client's handshake to the answer, of handshakes that reached an upstream.", "gate")
	tunnelTimeDesc    = desc("tunnel_duration_seconds", "How long tunnels were open.", "gate")
	closedDesc        = desc("tunnels_closed_total", "Tunnels that ended, by who ended them and the close code.", "gate", "closed_by", "code")
)

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		openDesc, nextDesc, tunnelsDesc, bytesDesc, messagesDesc, drainDesc,
		changesDesc, handshakesDesc, handshakeTimeDesc, tunnelTimeDesc, closedDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (collector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range registry.Scrape(time.Now()) {
		collectState(ch, s.Status)
		collectCounters(ch, s.Name, s.Counters)
	}
}

func sendGauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func sendCounter(ch chan<- prometheus.Metric, d *prometheus.Desc, v int64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func collectState(ch chan<- prometheus.Metric, s registry.Status) {
	open := 0.0
	if s.State == gate.Open {
		open = 1
	}
	if !s.Removed { // a removed gate must raise no alarm
		sendGauge(ch, openDesc, open, s.Name)
	}
	if !s.Until.IsZero() {
		sendGauge(ch, nextDesc, float64(s.Until.UnixMilli())/1e3, s.Name)
	}
	for _, u := range s.Upstreams {
		sendGauge(ch, tunnelsDesc, float64(u.Tunnels), s.Name, u.Address)
	}
	sendGauge(ch, drainDesc, float64(s.Draining), s.Name)
	sendCounter(ch, bytesDesc, s.Totals.BytesUp, s.Name, "up")
	sendCounter(ch, bytesDesc, s.Totals.BytesDown, s.Name, "down")
	sendCounter(ch, messagesDesc, s.Totals.MessagesUp, s.Name, "up")
	sendCounter(ch, messagesDesc, s.Totals.MessagesDown, s.Name, "down")
}

func collectCounters(ch chan<- prometheus.Metric, name string, c registry.Counters) {
	for label, n := range c.Changes {
		sendCounter(ch, changesDesc, n, name, label.To, label.Cause)
	}
	for outcome, n := range c.Handshakes {
		sendCounter(ch, handshakesDesc, n, name, outcome)
	}
	for label, n := range c.Closed {
		sendCounter(ch, closedDesc, n, name, label.By, label.Code)
	}
	for d, h := range map[*prometheus.Desc]registry.Histogram{handshakeTimeDesc: c.HandshakeSeconds, tunnelTimeDesc: c.TunnelSeconds} {
		if h.Count > 0 {
			ch <- prometheus.MustNewConstHistogram(d, h.Count, h.Sum, h.Buckets, name)
		}
	}
}

// registerMetrics adds the collector to a configuration's registry.
func registerMetrics(to *prometheus.Registry) error {
	err := to.Register(collector{})
	if already := (prometheus.AlreadyRegisteredError{}); err != nil && !errors.As(err, &already) {
		return fmt.Errorf("registering metrics: %w", err)
	}
	return nil
}

// metricsAPI has no routes. It adds the collector to the registry of every
// configuration that Caddy tries. Caddy's admin endpoint shows the registry of
// the newest one, even if that load failed before it reached our app. Without
// metricsAPI our series would then be missing until the next good load.
type metricsAPI struct{}

// CaddyModule returns the Caddy module information.
func (*metricsAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.wsgate_metrics",
		New: func() caddy.Module { return new(metricsAPI) },
	}
}

// Provision registers the collector.
func (*metricsAPI) Provision(ctx caddy.Context) error {
	return registerMetrics(ctx.GetMetricsRegistry())
}

// Routes returns none.
func (*metricsAPI) Routes() []caddy.AdminRoute { return nil }

// Interface guards
var (
	_ caddy.Provisioner = (*metricsAPI)(nil)
	_ caddy.AdminRouter = (*metricsAPI)(nil)
)
