package policy

import (
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/wsgate/wsgate/matchers"
)

// WarnOfContradictions warns of a gate whose rules can never let it open, and
// of rules that are never asked.
func (p *Words) WarnOfContradictions(gate string) {
	if len(p.rules) == 0 {
		return
	}
	log := caddy.Log().Named("caddyfile").With(zap.String("gate", gate), zap.String("file", p.Start.File), zap.Int("line", p.Start.Line))
	if mode := p.Policy.Mode; mode == "on" || mode == "off" {
		log.Warn("mode "+mode+" stands beside open_when in this wsgate: its rules are not asked",
			zap.String("remedy", "leave one of them out; mode auto, the default, follows the rules"))
		return
	}
	if why := matchers.Never(time.Now(), p.rules); why != "" {
		log.Warn("the gate of this wsgate can never open by its rules", zap.String("because", why))
	}
}
