"""The ways against each other: same items, same labels, same metric, one bill each."""
