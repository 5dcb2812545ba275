package ir

import "strings"

// dataName returns the name of a field in data: of its json tag, or its own.
// Fields that data cannot set have none.
func dataName(f *Field) (name string, tagged, omitEmpty bool) {
	if c := f.Name[0]; c < 'A' || c > 'Z' {
		return "", false, false
	}
	tag, opts, _ := strings.Cut(tagValue(f.Tag, "json"), ",")
	omitEmpty = strings.Contains(","+opts+",", ",omitempty,")
	switch tag {
	case "-":
		return "", false, false
	case "":
		return f.Name, false, omitEmpty
	}
	return tag, true, omitEmpty
}

func tagValue(tag, key string) string {
	for tag = strings.TrimSpace(tag); tag != ""; tag = strings.TrimSpace(tag) {
		name, rest, ok := strings.Cut(tag, `:"`)
		if !ok {
			return ""
		}
		value, after, ok := strings.Cut(rest, `"`)
		if !ok {
			return ""
		}
		if name == key {
			return value
		}
		tag = after
	}
	return ""
}
