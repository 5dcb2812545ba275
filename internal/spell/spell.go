// Package spell finds the word that somebody meant. Its one function is
// [Nearest].
package spell

import "strings"

// Nearest returns the entry of known that word is most likely a slip of, or "".
func Nearest(word string, known []string) string {
	best, bestAt := "", len(word)/3+1
	if len(word) > 64 {
		return ""
	}
	for _, k := range known {
		if strings.EqualFold(k, word) {
			return k
		}
		if len(k) > 64 {
			continue
		}
		if d := distance(word, k); d <= bestAt && d < max(len(k), len(word)) && (best == "" || d < bestAt) {
			best, bestAt = k, d
		}
	}
	return best
}

// distance is the number of inserted, deleted, replaced or swapped bytes
// between a and b.
func distance(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
