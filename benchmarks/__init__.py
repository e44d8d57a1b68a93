"""What takes longer than a test may: learning, the bit-for-bit matrix, planted bugs. results/ holds what came out."""
