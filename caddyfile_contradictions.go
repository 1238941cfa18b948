package wsgate

import (
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/wsgate/wsgate/matchers"
)

// contradictions warns of words of the directive that cannot be meant together.
func (p *directive) contradictions() error {
	p.warnOfContradictions(p.handler.Gate)
	return nil
}

// warnOfContradictions warns of a gate that can never open by its rules, and
// of rules that are never asked.
func (p *policyWords) warnOfContradictions(gate string) {
	if len(p.rules) == 0 {
		return
	}
	log := caddy.Log().Named("caddyfile").With(zap.String("gate", gate), zap.String("file", p.start.File), zap.Int("line", p.start.Line))
	if mode := p.policy.Mode; mode == "on" || mode == "off" {
		log.Warn("mode "+mode+" stands beside open_when in this wsgate: its rules are not asked",
			zap.String("remedy", "leave one of them out; mode auto, the default, follows the rules"))
		return
	}
	if why := matchers.Never(time.Now(), p.rules); why != "" {
		log.Warn("the gate of this wsgate can never open by its rules", zap.String("because", why))
	}
}
