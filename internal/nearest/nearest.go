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

// reach is how many letters may differ in a word of n: enough for two that
// changed places, and never so many that another word would do as well.
func reach(n int) int { return min(max(n/3, min(n/2, 2)), 3) }

// distance is how many letters differ. A word that begins like another is as
// far from it as one letter, if that is more than a letter or two.
func distance(a, b string, limit int) int {
	if len(a) > 3 && len(b) > len(a) && strings.HasPrefix(b, a) {
		return 1
	}
	if n := utf8.RuneCountInString(b) - utf8.RuneCountInString(a); n > limit || -n > limit {
		return limit + 1
	}
	return levenshtein.ComputeDistance(a, b)
}

func normal(word string) string { return strings.ReplaceAll(strings.ToLower(word), "-", "_") }
