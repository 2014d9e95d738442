module ringmill/peers/seed

go 1.25.0

require (
	github.com/gopacket/gopacket v1.7.7
	github.com/mileusna/useragent v1.3.5
)

require (
	golang.org/x/net v0.55.0 // indirect
	golang.org/x/sys v0.45.0 // indirect
)
