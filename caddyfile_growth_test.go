package wsgate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// bigSite is a site with n gates, and among them other directives that
// adaptation looks at.
func bigSite(n int) []byte {
	var b strings.Builder
	b.WriteString("{\n\twsgate {\n")
	for i := range n {
		fmt.Fprintf(&b, "\t\tgate g%d {\n\t\t\treason \"back at nine\"\n\t\t}\n", i)
	}
	b.WriteString("\t}\n}\n\nhttp://localhost {\n")
	for i := range n {
		fmt.Fprintf(&b, "\t@page%d {\n\t\tpath /g%d\n\t\tnot ws_handshake\n\t}\n", i, i)
		fmt.Fprintf(&b, "\twsgate /g%d/* ws://localhost:%d/ {\n\t\tgate g%d\n\t\tidle_timeout 9s\n\t}\n", i, 9000+i%99, i)
		fmt.Fprintf(&b, "\treverse_proxy @page%d localhost:%d\n", i, 9000+i%99)
		fmt.Fprintf(&b, "\thandle /in%d/* {\n\t\twsgate ws://localhost:8080 {\n\t\t\tgate in%d\n\t\t}\n\t}\n", i, i)
	}
	b.WriteString("}\n")
	return []byte(b.String())
}

func BenchmarkAdaptManyDirectivesInOneSite(b *testing.B) {
	for _, n := range []int{125, 500, 1000} {
		text := bigSite(n)
		b.Run(fmt.Sprint(2*n), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestAdaptingTakesTimeInProportionToTheCaddyfile compares a site with one that
// is four times as large. If each directive read the whole site, it would take
// sixteen times as long.
func TestAdaptingTakesTimeInProportionToTheCaddyfile(t *testing.T) {
	cost := func(n int) (allocs float64, took time.Duration) {
		text := bigSite(n)
		took = time.Hour
		allocs = testing.AllocsPerRun(3, func() {
			began := time.Now()
			if _, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, nil); err != nil {
				t.Fatal(err)
			}
			took = min(took, time.Since(began))
		})
		return allocs, took
	}
	few, quick := cost(50)
	many, slow := cost(200)
	if many > 6*few {
		t.Errorf("%.0f allocations for 100 directives, and %.0f for 400", few, many)
	}
	if slow > 10*quick {
		t.Errorf("%s for 100 directives, and %s for 400", quick, slow)
	}
}

func TestAdaptingWarnsOfEachDirectiveInASite(t *testing.T) {
	const site = `http://localhost {
	@page not ws_handshake
	@files path /files/*
	wsgate /first/* ws://localhost:9001/ {
		gate first
	}
	reverse_proxy @page localhost:9001
	reverse_proxy @files localhost:9001
	handle @page {
		wsgate /second/* ws://localhost:9001/ {
			gate second
		}
		reverse_proxy localhost:9001
	}
	rewrite * /index.html
	wsgate /third/* ws://localhost:9002/ {
		gate third
	}
	wsgate /fourth/* ws://localhost:9001/ ws://localhost:9003/ {
		gate fourth
	}
	handle_errors {
		reverse_proxy localhost:9003 localhost:9001
	}
}
`
	var got []string
	for _, w := range warnings(t, site) {
		got = append(got, fmt.Sprintf("%d: %d %s", w.Line, w.DirectiveLine, w.Directive))
	}
	want := []string{
		"4: 15 rewrite", "4: 8 reverse_proxy", "4: 23 reverse_proxy",
		"10: 15 rewrite", "10: 8 reverse_proxy", "10: 13 reverse_proxy", "10: 23 reverse_proxy",
		"16: 15 rewrite",
		"19: 15 rewrite", "19: 8 reverse_proxy", "19: 23 reverse_proxy",
	}
	if !slices.Equal(got, want) {
		t.Errorf("warned\n%q\nwant\n%q", got, want)
	}
}
