// Package nearest answers: which word was meant?
package nearest

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
)

// most is how many words are offered at a time.
const most = 3

// To returns the words that are nearest to one that is none of them, at most
// three, the best first; none if nothing is near enough to have been meant.
// Case, and - for _, make no difference.
func To(word string, words []string) []string {
	key := normal(word)
	limit := reach(utf8.RuneCountInString(key))
	best := limit + 1
	var near []string
	for _, w := range words {
		d := distance(key, normal(w), limit)
		if d > limit || d > best || slices.Contains(near, w) {
			continue
		}
		if d < best {
			best, near = d, near[:0]
		}
		near = append(near, w)
	}
	return near[:min(len(near), most)]
}

// Hint asks whether the nearest words were meant: "did you mean gate?". It is
// empty where nothing is near.
func Hint(word string, words []string) string {
	near := To(word, words)
	if len(near) == 0 {
		return ""
	}
	return "did you mean " + strings.Join(near, " or ") + "?"
}

// reach is how many letters may differ in a word of n: one in three, so that
// another word would not do as well.
func reach(n int) int { return min(n/3, 3) }

// distance is how many letters differ. Two neighbours that changed places are
// one; so is all that is missing of a word, if more than a letter or two are
// there.
func distance(a, b string, limit int) int {
	if len(a) > 3 && len(b) > len(a) && strings.HasPrefix(b, a) || swapped(a, b) {
		return 1
	}
	if n := utf8.RuneCountInString(b) - utf8.RuneCountInString(a); n > limit || -n > limit {
		return limit + 1
	}
	return levenshtein.ComputeDistance(a, b)
}

// swapped reports whether two words are the same but for two neighbours.
func swapped(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 1; i < len(a); i++ {
		if a[i-1] != b[i-1] {
			return a[i-1] == b[i] && a[i] == b[i-1] && a[i+1:] == b[i+1:]
		}
	}
	return false
}

func normal(word string) string { return strings.ReplaceAll(strings.ToLower(word), "-", "_") }
