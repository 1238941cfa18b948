package e2e

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"
)

func init() { caddy.RegisterModule(new(pipes)) }

// pipes is a storage that behaves like a network mount: a key whose file is a
// pipe is answered when somebody writes into it, whatever the context says.
// wsgate does not read a pipe in Caddy's own file storage, because it sees
// there what the file is.
type pipes struct {
	Root string `json:"root"`
}

func (*pipes) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.pipes", New: func() caddy.Module { return new(pipes) }}
}

func (p *pipes) CertMagicStorage() (certmagic.Storage, error) {
	return struct{ certmagic.Storage }{&certmagic.FileStorage{Path: p.Root}}, nil // without its Filename
}

func (p *pipes) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.AllArgs(&p.Root) {
		return d.ArgErr()
	}
	return nil
}
