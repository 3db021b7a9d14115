"""What notebooks and the command line call: running scenarios and holding what came of them."""
