"""Who: the IDs, names and attributes of accounts, products and users, and what each may be."""

from .entities import Account, AccountLike, Product, ProductLike, Said, User, UserLike, as_account, as_product, as_user
from .ids import (
    Problem,
    check_id,
    exact_str,
    id_problems,
    joined_problems,
    product_account_id,
    service_id_problem,
    text_problems,
)
from .salesforce import foreign_key_warning, salesforce_id

__all__ = [
    "Account",
    "AccountLike",
    "Problem",
    "Product",
    "ProductLike",
    "Said",
    "User",
    "UserLike",
    "as_account",
    "as_product",
    "as_user",
    "check_id",
    "exact_str",
    "foreign_key_warning",
    "id_problems",
    "joined_problems",
    "product_account_id",
    "salesforce_id",
    "service_id_problem",
    "text_problems",
]
