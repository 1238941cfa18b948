// Package upstream answers: where does a handshake go, and how? It runs a
// handshake through Caddy's own embedded reverse_proxy, up to the backend's
// answer: load balancing, health checks, retries, headers and TLS are Caddy's
// code. A tap on the transport catches a 101, checks its claims, and takes the
// connection. Any other answer goes to the client as reverse_proxy would send
// it.
//
// The embedding relies on three facts of Caddy v2.11, and a test checks each:
// the handler calls its exported Transport with the dial information in the
// request's context; after a 101 without an Upgrade header it returns and sends
// nothing to the client; and after that it keeps no reference to the
// connection.
//
// The package has a process-wide variable, loads: how many handshakes and
// tunnels each upstream address carries. Tunnels outlive their configuration,
// and least_conn and the limits of upstreams count those of all configurations.
// Its pools of read and write buffers are process-wide, too.
package upstream
