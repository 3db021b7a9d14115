"""The life of a call, as objects that know a clock and a transport and nothing of what drives them."""
