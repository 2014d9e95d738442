// The design that Ringmill replaces, as a peer to compare with: one goroutine that decodes with
// gopacket, takes a TCP payload that begins like an HTTP head for one, parses it, takes the user
// agent apart and writes a line of JSON.
//
// It reads with pcapgo, so that no libpcap is needed, and it reuses its layers and buffers, as
// that program did in its last version. That one asked woothee about user agents; the library
// here does less for each, which is to the peer's favour.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/mileusna/useragent"
)

var methods = [][]byte{
	[]byte("GET "), []byte("POST "), []byte("PUT "), []byte("DELETE "), []byte("PATCH "), []byte("HEAD "),
}

// Record has the columns of that program: the header fields it kept, and what the user agent says.
type Record struct {
	Time            time.Time `json:"time"`
	Source          string    `json:"src_ip"`
	Destination     string    `json:"dst_ip"`
	SourcePort      uint16    `json:"src_port"`
	DestinationPort uint16    `json:"dst_port"`
	Method          string    `json:"method,omitempty"`
	Host            string    `json:"host,omitempty"`
	URI             string    `json:"uri,omitempty"`
	Version         string    `json:"version"`
	Status          int       `json:"status_code,omitempty"`
	Reason          string    `json:"reason,omitempty"`
	UserAgent       string    `json:"user_agent,omitempty"`
	OS              string    `json:"user_agent_os_name,omitempty"`
	OSVersion       string    `json:"user_agent_os_version,omitempty"`
	Device          string    `json:"user_agent_device_type,omitempty"`
	Browser         string    `json:"user_agent_browser_name,omitempty"`
	BrowserVersion  string    `json:"user_agent_browser_version,omitempty"`
	Referer         string    `json:"referer,omitempty"`
	Server          string    `json:"server,omitempty"`
	ContentType     string    `json:"content_type,omitempty"`
	ContentEncoding string    `json:"content_encoding,omitempty"`
	CacheControl    string    `json:"cache_control,omitempty"`
	Pragma          string    `json:"pragma,omitempty"`
	Connection      string    `json:"connection,omitempty"`
}

func (record *Record) common(header http.Header) {
	record.ContentType = header.Get("Content-Type")
	record.CacheControl = header.Get("Cache-Control")
	record.Pragma = header.Get("Pragma")
	record.Connection = header.Get("Connection")
}

func isRequest(payload []byte) bool {
	for _, method := range methods {
		if bytes.HasPrefix(payload, method) {
			return true
		}
	}
	return false
}

// parse fills the record with the head that the payload begins with.
func parse(payload []byte, record *Record, reader *bufio.Reader, bytesReader *bytes.Reader) bool {
	bytesReader.Reset(payload)
	reader.Reset(bytesReader)
	if isRequest(payload) {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return false
		}
		record.Method, record.Host, record.URI = request.Method, request.Host, request.RequestURI
		record.Version = request.Proto
		record.Referer = request.Referer()
		record.UserAgent = request.UserAgent()
		agent := useragent.Parse(record.UserAgent)
		record.OS, record.OSVersion, record.Device = agent.OS, agent.OSVersion, agent.Device
		record.Browser, record.BrowserVersion = agent.Name, agent.Version
		record.common(request.Header)
		return true
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return false
	}
	record.Version, record.Status, record.Reason = response.Proto, response.StatusCode, response.Status
	record.Server = response.Header.Get("Server")
	record.ContentEncoding = response.Header.Get("Content-Encoding")
	record.common(response.Header)
	return true
}

func run(in io.Reader, out io.Writer) (packets, heads int, err error) {
	capture, err := pcapgo.NewReader(bufio.NewReaderSize(in, 1<<20))
	if err != nil {
		return 0, 0, err
	}
	var (
		ethernet layers.Ethernet
		tag      layers.Dot1Q
		four     layers.IPv4
		six      layers.IPv6
		tcp      layers.TCP
		payload  gopacket.Payload
		decoded  []gopacket.LayerType
	)
	parser := gopacket.NewDecodingLayerParser(
		layers.LayerTypeEthernet, &ethernet, &tag, &four, &six, &tcp, &payload)
	parser.IgnoreUnsupported = true
	writer := bufio.NewWriterSize(out, 1<<20)
	lines := json.NewEncoder(writer)
	reader, bytesReader := bufio.NewReaderSize(nil, 65536), bytes.NewReader(nil)
	for {
		data, info, err := capture.ZeroCopyReadPacketData()
		if errors.Is(err, io.EOF) {
			return packets, heads, writer.Flush()
		} else if err != nil {
			return packets, heads, err
		}
		packets++
		if parser.DecodeLayers(data, &decoded) != nil {
			continue
		}
		record := Record{Time: info.Timestamp}
		isTCP := false
		for _, layer := range decoded {
			switch layer {
			case layers.LayerTypeIPv4:
				record.Source, record.Destination = four.SrcIP.String(), four.DstIP.String()
			case layers.LayerTypeIPv6:
				record.Source, record.Destination = six.SrcIP.String(), six.DstIP.String()
			case layers.LayerTypeTCP:
				isTCP = true
			}
		}
		body := tcp.LayerPayload()
		if !isTCP || !(isRequest(body) || bytes.HasPrefix(body, []byte("HTTP"))) {
			continue
		}
		record.SourcePort, record.DestinationPort = uint16(tcp.SrcPort), uint16(tcp.DstPort)
		if !parse(body, &record, reader, bytesReader) {
			continue
		}
		heads++
		if err := lines.Encode(&record); err != nil {
			return packets, heads, err
		}
	}
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: seed CAPTURE OUTPUT")
		os.Exit(2)
	}
	in, err := os.Open(os.Args[1])
	if err == nil {
		var out *os.File
		if out, err = os.Create(os.Args[2]); err == nil {
			var packets, heads int
			if packets, heads, err = run(in, out); err == nil {
				fmt.Printf("%d packets, %d heads\n", packets, heads)
				return
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
