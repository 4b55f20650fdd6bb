"""Who spends what on AI tools, and is it right.

Read the rooms in this order: `definitions` wires everything; `vendors/` know how to pull, only through `gateway`;
`landing` turns records into one replaced day of a raw table; `sql/` turns raw into facts and KPI views, one asset a
file (`models`); `checks` say what must hold; `warehouses/` know the engines. `simulator/` plays all three vendors.
"""
