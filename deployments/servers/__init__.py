"""Private servers for the demo and the tests: started here, and surely ended here."""
