"""The boundary between domains, as import-linter checks it, with a message that names the public API."""

from pathlib import Path

from importlinter.application import output
from importlinter.contracts.independence import IndependenceContract
from importlinter.domain.contract import ContractCheck

from tools.scaffold.public_api import public_api_of


class BoundaryContract(IndependenceContract):
    """Domains that may use only each other's public API."""

    type_name = "boundary"

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Describe the forbidden import, the alternatives, and the other domain's public API."""
        super().render_broken_contract(check)
        chains = check.metadata["invalid_chains"]
        for module in sorted({chain["upstream_module"] for chain in chains}):
            domain = module.removeprefix("domains.")
            # The program that is checked is the one in the present folder.
            output.print(str(public_api_of(domain, Path("domains"))), bold=True)
        output.new_line()
