"""Who: the IDs, names and attributes of accounts, products and users, and what each may be."""

from ..errors import Problem
from .entities import (
    Account,
    AccountLike,
    Product,
    ProductLike,
    Said,
    User,
    UserLike,
    as_account,
    as_entity,
    as_product,
    as_user,
)
from .ids import (
    check_extra_characters,
    check_id,
    id_problems,
    joined_problems,
    product_account_id,
    service_id_problem,
    text_problems,
    with_extra,
)
from .salesforce import foreign_key_warning, record_warning, salesforce_id
from .texts import exact_str

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
    "as_entity",
    "as_product",
    "as_user",
    "check_extra_characters",
    "check_id",
    "exact_str",
    "foreign_key_warning",
    "id_problems",
    "joined_problems",
    "product_account_id",
    "record_warning",
    "salesforce_id",
    "service_id_problem",
    "text_problems",
    "with_extra",
]
