package main

import (
	"fmt"
	"html"
	"io"
)

// bar is a line of the chart: a ratio to stock, and its goal. The goal is at
// most that ratio; negative: at least; 0: no goal.
type bar struct {
	name        string
	ratio, goal float64
}

// Sizes of the chart, in pixels.
const (
	chartWidth = 760
	nameWidth  = 240
	lineHeight = 26
	scale      = 320 // of a ratio of 1
	topMargin  = 48
)

// chart draws ratios as an SVG picture, for light and dark pages.
func chart(w io.Writer, title string, bars []bar) error {
	height := topMargin + lineHeight*len(bars) + 24
	one := nameWidth + scale
	p := printer{w: w}
	p.f(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s" font-family="sans-serif" font-size="13">`,
		chartWidth, height, chartWidth, height, html.EscapeString(title))
	p.f(`<rect width="%d" height="%d" fill="#fff"/>`, chartWidth, height)
	p.f(`<text x="12" y="22" font-size="15" fill="#111">%s</text>`, html.EscapeString(title))
	for i, b := range bars {
		y := topMargin + i*lineHeight
		colour := "#8a94a6"
		switch goalWord(b.ratio, b.goal) {
		case "met":
			colour = "#2f7d4f"
		case "not met":
			colour = "#b3541e"
		}
		width := min(int(b.ratio*scale), chartWidth-nameWidth-60)
		p.f(`<text x="%d" y="%d" text-anchor="end" fill="#111">%s</text>`, nameWidth-8, y+15, html.EscapeString(b.name))
		p.f(`<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`, nameWidth, y+3, width, lineHeight-8, colour)
		p.f(`<text x="%d" y="%d" fill="#111">%.2f</text>`, nameWidth+width+6, y+16, b.ratio)
		if b.goal != 0 {
			x := nameWidth + int(max(b.goal, -b.goal)*scale)
			p.f(`<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#111" stroke-width="2"/>`, x, y, x, y+lineHeight-2)
		}
	}
	p.f(`<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#555" stroke-dasharray="3 3"/>`, one, topMargin-6, one, height-22)
	p.f(`<text x="%d" y="%d" text-anchor="middle" fill="#555">stock reverse_proxy = 1; black mark: goal</text>`, one, height-8)
	p.f("</svg>\n")
	return p.err
}

// printer keeps the first error of many writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) f(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}
