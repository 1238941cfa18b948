package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// figure is one number with its unit.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// report is the result of a verb.
type report []figure

// aboutProcess reports whether a figure, by its name, belongs to a process and
// not to the load.
func aboutProcess(name string) bool {
	return strings.Contains(name, "CPU") || strings.Contains(name, "PSS") || strings.Contains(name, "descriptors")
}

// withoutProcess leaves out the figures of a process, for a run without its id.
func (r report) withoutProcess() report {
	return slices.DeleteFunc(r, func(f figure) bool { return aboutProcess(f.Name) })
}

func (r report) print(w io.Writer) {
	for _, f := range r {
		fmt.Fprintf(w, "%-34s %12s %s\n", f.Name, number(f.Value), f.Unit)
	}
}

func (r report) value(name string) float64 {
	for _, f := range r {
		if f.Name == name {
			return f.Value
		}
	}
	return 0
}

func number(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// quantile returns a quantile of durations, which it sorts.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// median returns the middle value.
func median(v []float64) float64 { return quartile(v, 2) }

// quartile returns the value below which q quarters of the values are. Between
// two values it interpolates.
func quartile(v []float64, q int) float64 {
	if v = withoutGaps(v); len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	at := float64(q*(len(v)-1)) / 4
	low := int(at)
	high := min(low+1, len(v)-1)
	return v[low] + (v[high]-v[low])*(at-float64(low))
}

// withoutGaps returns the figures that are numbers.
func withoutGaps(v []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(v), math.IsNaN)
}

// ratios returns the ratio of each turn. If the two have different numbers of
// turns, it returns only the ratio of the medians.
func ratios(v, of []float64) []float64 {
	if len(v) != len(of) {
		return []float64{median(v) / median(of)}
	}
	out := make([]float64, len(v))
	for i := range v {
		out[i] = v[i] / of[i]
	}
	return out
}

// table prints rows with aligned columns.
func table(w io.Writer, rows [][]string) {
	width := map[int]int{}
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-len([]rune(cell)))
			if i == 0 {
				b.WriteString(cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}
