// Package upstream answers: to whom, and how? It runs a handshake through
// Caddy's own reverse_proxy, embedded, up to the backend's answer: load
// balancing, health checks, retries, headers and TLS are Caddy's code. A tap
// on its transport catches a 101, checks its claims, and takes the connection;
// any other answer goes to the client as reverse_proxy would send it.
//
// The embedding rests on three facts of Caddy v2.11, each pinned by a test:
// the handler calls its exported Transport with the dial information in the
// request's context; a 101 without an Upgrade header makes it return without a
// word to the client; and it holds on to nothing of the connection after that.
package upstream
