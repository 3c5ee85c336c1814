"""Operations and bytes of a graph."""
