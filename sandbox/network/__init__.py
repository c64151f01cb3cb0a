"""Networks of containers: bridges, addresses, NAT and names. `networks.Networks` is the door."""
