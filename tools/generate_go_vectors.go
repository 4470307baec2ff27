// Writes tests/data/go-text.json: what the Go release in use makes of strings, names and times.
//
// tests/data/go-encoding.json holds the same for the Go 1.19 of Debian's restic 0.14 (Unicode 13, and \u0008
// for \b); this one is for the Go that builds current restic releases. Run with Go >= 1.22:
//
//	go run tools/generate_go_vectors.go > tests/data/go-text.json
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

type text struct {
	In     string `json:"in_hex"`
	Name   string `json:"name_json_hex"`
	String string `json:"json_hex"`
}

type unquote struct {
	In  string  `json:"in_hex"`
	Out *string `json:"out_hex"` // null: refused
}

type timeText struct {
	In     string `json:"in"`
	OK     bool   `json:"ok"`
	Sec    int64  `json:"unix_sec"`
	Nsec   int    `json:"nsec"`
	Offset int    `json:"offset"`
}

var random = rand.New(rand.NewSource(20))

func jsonOf(s string) []byte {
	out, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return out
}

func oneText(s string) text {
	quoted := strconv.Quote(s)
	return text{hex.EncodeToString([]byte(s)), hex.EncodeToString(jsonOf(quoted[1 : len(quoted)-1])),
		hex.EncodeToString(jsonOf(s))}
}

func randomText() string {
	var b strings.Builder
	for i := random.Intn(40); i >= 0; i-- {
		switch random.Intn(6) {
		case 0:
			b.WriteByte(byte(random.Intn(256)))
		case 1:
			b.WriteRune(rune(random.Intn(0x3000)))
		case 2:
			b.WriteRune(rune(random.Intn(0x110000)))
		default:
			b.WriteByte(byte(0x20 + random.Intn(0x5f)))
		}
	}
	return b.String()
}

func texts() []text {
	out := []text{oneText(""), oneText("\xed\xa0\x80"), oneText("\xf4\x90\x80\x80"), oneText("\xc0\xaf"),
		oneText("\xe0\x80\x80"), oneText("\xf0\x8f\xbf\xbf"), oneText("\ufffd"), oneText("\U0001fae8")}
	for b := 0; b < 256; b++ {
		out = append(out, oneText(string([]byte{byte(b)})))
		// specials at every place of a word of eight or sixteen bytes
		s := []byte("abcdefghijklmnopqrstuvwxyz"[:1+b%26])
		s[random.Intn(len(s))] = byte(b)
		out = append(out, oneText(string(s)))
	}
	for i := 0; i < 300; i++ {
		out = append(out, oneText(randomText()))
	}
	return out
}

func unquotes() []unquote {
	var out []unquote
	add := func(s string) {
		one := unquote{In: hex.EncodeToString([]byte(s))}
		if v, err := strconv.Unquote("\"" + s + "\""); err == nil {
			h := hex.EncodeToString([]byte(v))
			one.Out = &h
		}
		out = append(out, one)
	}
	for _, s := range []string{"", "plain", `\`, `a\`, `\x`, `\x4`, `\x4g`, `\xff`, `\XFF`, `\777`, `\377`, `\400`, `\00`, `\0`, `\08`,
		`\'`, `'`, `"`, `\"`, `\\`, `\a\b\f\n\r\t\v`, `\e`, `\ud800`, `\udfff`, `\u200B`, `\u20`, `\U0010ffff`, `\U00110000`,
		`\U0010fff`, `\UFFFFFFFF`, "a\nb", "a\tb", "\xff", "\xff\\n", "\u00e9", "\u00e9\\x", `\x00`, "\x00", "a`b", "\r"} {
		add(s)
	}
	alphabet := []string{`\`, `x`, `u`, `U`, `0`, `7`, `f`, `a`, `"`, `'`, `n`, "\n", "\xff", "é", `0000`, `ffff`}
	for i := 0; i < 400; i++ {
		s := ""
		for j := random.Intn(8); j >= 0; j-- {
			s += alphabet[random.Intn(len(alphabet))]
		}
		add(s)
	}
	for i := 0; i < 100; i++ {
		q := strconv.Quote(randomText())
		add(q[1 : len(q)-1])
	}
	return out
}

func times() []timeText {
	var out []timeText
	add := func(s string) {
		var t time.Time
		one := timeText{In: s}
		if err := t.UnmarshalJSON([]byte("\"" + s + "\"")); err == nil {
			_, offset := t.Zone()
			one.OK, one.Sec, one.Nsec, one.Offset = true, t.Unix(), t.Nanosecond(), offset
		}
		out = append(out, one)
	}
	base := []string{"2023-11-14T22:13:20Z", "2023-11-14T22:13:20.123456789+01:00", "2024-02-29T23:59:59.1-12:30",
		"0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.9Z", "1900-02-28T00:00:00+05:53"}
	for _, s := range base {
		add(s)
		for i := range s {
			for _, c := range "09:-.Z+Ta, " {
				add(s[:i] + string(c) + s[i+1:])
			}
			add(s[:i])
			add(s[:i] + s[i+1:])
		}
		add(s + "0")
	}
	for _, s := range []string{"", "2023-02-29T00:00:00Z", "2023-11-31T00:00:00Z", "2023-11-14T22:13:60Z", "2023-11-14T24:00:00Z",
		"2023-11-14t22:13:20Z", "2023-11-14T22:13:20z", "2023-11-14T22:13:20.Z", "2023-11-14T22:13:20.1234567899999Z",
		"2023-11-14T22:13:20+24:00", "2023-11-14T22:13:20+24:60", "2023-11-14T22:13:20+25:00", "2023-11-14T22:13:20+0100",
		"1900-02-29T00:00:00Z", "2000-02-29T00:00:00Z"} {
		add(s)
	}
	return out
}

func main() {
	if !utf8.ValidString("x") || unicode.Version < "15" {
		fmt.Fprintln(os.Stderr, "this needs Unicode 15: Go 1.22 or later")
		os.Exit(1)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "")
	if err := encoder.Encode(map[string]any{"texts": texts(), "unquotes": unquotes(), "times": times()}); err != nil {
		panic(err)
	}
}
