// Package nearest answers: which word did the user mean?
package nearest

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
)

// most is how many words a hint offers.
const most = 3

// To returns the words that are most similar to an unknown word: at most three,
// all equally near. It returns none if no word is near enough. Case does not
// matter, and - counts as _.
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
// empty if no word is near enough.
func Hint(word string, words []string) string {
	near := To(word, words)
	if len(near) == 0 {
		return ""
	}
	return "did you mean " + strings.Join(near, " or ") + "?"
}

// reach is how many letters may differ in a word of n letters: one in three, at
// most three. With more, other words would fit as well.
func reach(n int) int { return min(n/3, 3) }

// distance is how many letters differ. Two neighbouring letters that are
// swapped count as one. So does the whole missing end of a word, if a has more
// than three letters.
func distance(a, b string, limit int) int {
	if len(a) > 3 && len(b) > len(a) && strings.HasPrefix(b, a) || swapped(a, b) {
		return 1
	}
	if n := utf8.RuneCountInString(b) - utf8.RuneCountInString(a); n > limit || -n > limit {
		return limit + 1
	}
	return levenshtein.ComputeDistance(a, b)
}

// swapped reports whether two words differ only in the order of two neighbours.
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
